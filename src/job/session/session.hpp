#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "d2c/cluster/search.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/loss_engine.hpp"
#include "d2c/job/run.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"
#include "losses/known_losses.hpp"
#include "merging/input_store.hpp"
#include "session/checkpointing.hpp"

namespace d2c::job {

/// What a session is told besides the options.
struct SessionFiles {
  std::filesystem::path checkpoint;
  /// On rank 0: text of the manifest, if it is not yet where the options say.
  std::string manifest = {};
  /// Tasks that were left out before.
  results::SkippedTable skipped = {};
  /// What else decides the numbers.
  results::Identity identity = {};
};

/// What every job has, whatever it makes of it: its loaded input, what it has measured, one way to
/// stop and one to report. All members are collective unless told otherwise.
class Session {
 public:
  /// Loads the input, and goes on from a checkpoint if there is one.
  /// @throws as run()
  Session(comm::Communicator& comm, const RunOptions& options, const RunContext& context,
          const SessionFiles& files);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] comm::Communicator& comm() const { return comm_; }
  /// With K as a budget decides it.
  [[nodiscard]] const RunOptions& options() const { return options_; }
  [[nodiscard]] const Job& input() const { return input_; }
  [[nodiscard]] PhaseTimers& timers() { return timers_; }

  /// Is told what goes on; on rank 0. Not collective.
  [[nodiscard]] Progress& progress() const;
  /// A line for the log, from rank 0. Not collective.
  void say(const std::string& line) const;
  /// See Checkpointing::check.
  bool check() { return checkpointing_->check(); }

  /// What losses are measured with.
  [[nodiscard]] DistributedOracle::Parts parts();
  /// A search over losses that this session measures. Not collective.
  [[nodiscard]] cluster::Problem problem(cluster::CachedOracle& cache,
                                         const cluster::Objective& objective);

  /// Where the numbers come from. Not collective.
  [[nodiscard]] results::Provenance provenance() const;
  [[nodiscard]] results::Timing timing();
  /// Forgets the checkpoint. On rank 0.
  void finish() const { checkpointing_->remove(); }

 private:
  void settle_clusters();
  void log_input() const;

  comm::Communicator& comm_;
  const RunContext& context_;
  eval::EngineChoice choice_;
  RunOptions options_;
  Stopwatch watch_;
  PhaseTimers timers_;
  Job input_;
  std::unique_ptr<eval::LossEngine> engine_;
  InputStore inputs_;
  std::string hash_;  ///< on rank 0
  KnownLosses known_;
  std::unique_ptr<Checkpointing> checkpointing_;
  std::function<void()> pause_ = [this] { check(); };
  TrainingStates training_;
  cluster::SimilarityProvider similarity_;
  cluster::SimilarityProvider trimmed_similarity_;
};

/// Runs a job. @return  what it returns; nothing if a signal stopped it
template <class Work>
[[nodiscard]] auto unless_stopped(const Work& work) -> std::optional<decltype(work())> {
  try {
    return work();
  } catch (const Stopped&) {
    return std::nullopt;
  }
}

}  // namespace d2c::job
