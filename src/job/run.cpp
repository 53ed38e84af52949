#include "d2c/job/run.hpp"

#include "output/result_files.hpp"
#include "session/result_stages.hpp"
#include "session/setup.hpp"

namespace d2c::job {

std::optional<results::RunResults> run(comm::Communicator& comm, const RunOptions& options,
                                       const RunContext& context) {
  comm::agree(comm, [&] { validate(options); });
  ResultFiles files(comm, options);
  return unless_stopped([&] {
    Session session(comm, options, context, {.checkpoint = options.output / "checkpoint.h5"});
    comm::agree(comm, [&] { check_search(session.options(), session.input()); });
    ResultStages stages(session);
    stages.search();
    stages.measure();
    stages.refine();
    return stages.write(files, "");
  });
}

}  // namespace d2c::job
