#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "d2c/cluster/search.hpp"
#include "d2c/core/timer.hpp"

namespace d2c::cluster {

/// @throws UsageError if the options do not fit the number of tasks
void check_options(const SearchOptions& options, int n_tasks);

/// Keeps what a search has seen: the best partition of all, the history of the restart it came
/// from, the curve. Tells the observer, and the search when to end.
class Recorder {
 public:
  /// @throws UsageError if the options do not fit the number of tasks
  Recorder(const Problem& problem, const SearchOptions& options, std::string_view search);

  void begin_restart(std::uint64_t stream = 0);
  /// Considers a partition for the result without an entry in the history.
  void offer(const Partition& partition, const Score& score);
  /// Adds an iteration to the history, considers it for the result and tells the observer.
  void iteration(const Partition& partition, LossMatrix loss, const Score& score);
  void end_restart(StopReason reason);

  /// Why the search has to end now, if it has to. Never before there is a result; once it has to,
  /// it stays so.
  [[nodiscard]] std::optional<StopReason> must_stop();

  [[nodiscard]] std::int64_t evaluations() const;
  /// Until the search has to end; a huge number where there is no limit.
  [[nodiscard]] std::int64_t evaluations_left() const;
  [[nodiscard]] const Partition& best() const { return best_; }
  [[nodiscard]] const Score& best_score() const { return best_score_; }

  /// Measures the full loss matrix of the best partition. @pre a partition was offered
  [[nodiscard]] SearchResult finish();

 private:
  const Problem* problem_;
  std::string_view search_;
  int k_;
  std::int64_t max_evaluations_;
  ResultMatrix matrix_;
  CachedOracle::Counts start_;
  Stopwatch watch_;
  double last_iteration_ = 0;       ///< seconds
  std::vector<Iteration> history_;  // of the present restart
  Score restart_score_;
  std::uint64_t stream_ = 0;
  std::int64_t evaluations_before_ = 0;  ///< this restart
  Partition best_;
  Score best_score_;
  bool best_is_of_this_restart_ = false;
  std::optional<StopReason> stop_;
  SearchResult result_;
};

}  // namespace d2c::cluster
