#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/writer.hpp"

#include "output/output_folder.hpp"

namespace d2c::job {

/// The files of a result while a job makes them; rank 0 alone has the results file.
class ResultFiles {
 public:
  /// Makes room in the output folder, so that one that cannot be written is known at once.
  /// Collective.
  /// @throws comm::AgreedError (InputError) if there are results that must not be overwritten, or
  /// nothing can be written there
  ResultFiles(comm::Communicator& comm, const RunOptions& options);

  /// Null but on rank 0.
  [[nodiscard]] results::ResultsWriter* writer() { return writer_.get(); }
  /// Where all ranks put merged adapters.
  [[nodiscard]] const std::filesystem::path& merged() const { return merged_; }

  /// Completes the results and puts everything in the place of an earlier result. On rank 0.
  /// @param merged  names of the folders of merged adapters
  /// @param texts   see OutputFolder::publish
  void publish(const results::RunResults& results, std::span<const std::string> merged,
               std::span<const TextFile> texts);

 private:
  OutputFolder folder_;
  std::unique_ptr<results::ResultsWriter> writer_;
  std::filesystem::path merged_;
};

}  // namespace d2c::job
