#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/job/run.hpp"
#include "d2c/results/checkpoint.hpp"

#include "losses/known_losses.hpp"

namespace d2c::job {

/// Thrown on every rank when a signal stops the job; its state is on the disk then.
class Stopped : public std::exception {};

/// Keeps what a job has measured on disk, so that the same command goes on after a stop: a job is
/// deterministic, and run again on what is known it repeats every decision without measuring.
class Checkpointing {
 public:
  /// @param file      of the checkpoint
  /// @param identity  of the job, on rank 0; a checkpoint of another job is refused
  /// @param known     what is kept; outlives this object
  Checkpointing(comm::Communicator& comm, const RunOptions& options, const RunContext& context,
                std::filesystem::path file, results::Identity identity, KnownLosses& known);

  /// Adds what an earlier, unfinished run of this job has measured. Collective.
  /// @throws comm::AgreedError (InputError) if there is a checkpoint that cannot be used
  void resume();
  /// Asked between pieces of work: writes a checkpoint when one is due, and ends the job when a
  /// signal has come. Collective.
  /// @return whether the time limit of the search has passed; once it has, it stays so
  /// @throws Stopped; comm::AgreedError if a signal has come and no checkpoint can be written
  bool check();
  /// Where trainings are kept, see TrainingStates::file.
  [[nodiscard]] std::filesystem::path training_file() const { return file_.string() + ".training"; }
  /// Has a function called with every checkpoint, on all ranks. It may throw comm::AgreedError.
  void also(std::function<void()> save) { savers_.push_back(std::move(save)); }
  /// Forgets the checkpoints of a finished job.
  void remove() const;

 private:
  void write();
  void write_or_warn();
  void save_trainings();
  /// On rank 0, where checkpoints are written: a step has passed that would be lost otherwise.
  [[nodiscard]] bool is_due() const;

  comm::Communicator& comm_;
  std::filesystem::path file_;
  results::Identity identity_;
  KnownLosses& known_;
  double period_seconds_;
  double limit_seconds_;
  std::function<bool()> stop_requested_;
  std::function<void(const std::string&)> log_;
  Stopwatch watch_;
  double last_write_ = 0.0;
  double cost_ = 0.0;  ///< seconds of the last checkpoint
  std::vector<std::function<void()>> savers_;
  bool warned_ = false;
  bool out_of_time_ = false;
};

}  // namespace d2c::job
