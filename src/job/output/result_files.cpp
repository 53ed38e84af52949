#include "output/result_files.hpp"

namespace d2c::job {

ResultFiles::ResultFiles(comm::Communicator& comm, const RunOptions& options)
    : folder_(options.output, options.overwrite) {
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    folder_.prepare();
    writer_ = std::make_unique<results::ResultsWriter>(options.output / "results.h5");
  });
  merged_ = options.output / comm::broadcast_text(comm, folder_.merged_partial_name(), 0);
}

void ResultFiles::publish(const results::RunResults& results, std::span<const std::string> merged,
                          std::span<const TextFile> texts) {
  writer_->complete(results);
  folder_.publish(*writer_, merged, texts);
}

}  // namespace d2c::job
