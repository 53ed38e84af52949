#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/job/run_options.hpp"

namespace d2c::job {

/// Keeps what a search has measured on disk, so that the same command goes on after a stop. A
/// search is deterministic: run again on the restored losses, it repeats every decision without
/// measuring.
class Checkpointing {
 public:
  /// @param file  of the checkpoint
  /// @param hash  of the job (config_hash): a checkpoint of another job is refused
  Checkpointing(comm::Communicator& comm, const RunOptions& options, std::filesystem::path file,
                std::string hash, std::function<void(const std::string&)> log);

  /// Restores the losses of an earlier, unfinished run of this job, those under baselines too.
  /// Collective.
  /// @throws InputError if there is a checkpoint that cannot be used
  void resume(cluster::CachedOracle& cache);
  /// Losses under a baseline that is measured once: as restored, or measured now, to be kept from
  /// now on. Collective.
  [[nodiscard]] std::vector<double> baseline(const std::string& name,
                                             const std::function<std::vector<double>()>& measure);
  /// Asked between the steps of a search: whether it shall end now, because of a signal or the time
  /// limit. Writes a checkpoint when one is due. Collective.
  [[nodiscard]] bool stop(const cluster::CachedOracle& cache);
  /// Writes a checkpoint now, on rank 0.
  void save(const cluster::CachedOracle& cache);
  /// Whether a signal ended the search; its state is on disk then.
  [[nodiscard]] bool stopped_by_signal() const { return stopped_by_signal_; }
  /// Forgets the checkpoints of a finished job.
  void remove() const;

 private:
  comm::Communicator& comm_;
  std::filesystem::path file_;
  std::string hash_;
  double period_seconds_;
  double limit_seconds_;
  std::function<void(const std::string&)> log_;
  Stopwatch watch_;
  double last_write_ = 0.0;
  std::map<std::string, std::vector<double>> baselines_;
  bool stopped_ = false;
  bool stopped_by_signal_ = false;
};

}  // namespace d2c::job
