#include "search/recorder.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "loss/evaluate.hpp"

namespace d2c::cluster {

void check_options(const SearchOptions& options, int n_tasks) {
  if (options.k < 1)
    throw UsageError({fmt::format("{} clusters are asked for", options.k),
                      "every task needs a cluster", "ask for 1 or more"});
  if (options.k > n_tasks)
    throw UsageError(
        {fmt::format("{} clusters are asked for, but there are {} tasks", options.k, n_tasks),
         "a cluster needs at least one task", fmt::format("ask for {} or less", n_tasks)});
  if (options.restarts < 0 || options.max_iterations < 1 || options.max_evaluations < 0)
    throw UsageError(
        {fmt::format("{} restarts, {} iterations and {} evaluations are asked for",
                     options.restarts, options.max_iterations, options.max_evaluations),
         "a search needs at least one iteration, and nothing below 0", ""});
  for (const Assignment& start : options.starts) {
    const bool fits =
        start.n() == n_tasks && std::all_of(start.begin(), start.end(), [&](ClusterId cluster) {
          return cluster >= 0 && cluster.value() < options.k;
        });
    if (!fits)
      throw UsageError({"a given start does not fit",
                        fmt::format("it must name a cluster from 0 to {} for each of {} tasks",
                                    options.k - 1, n_tasks),
                        ""});
  }
}

std::string_view name(StopReason reason) {
  static constexpr std::array<std::string_view, 6> names{
      "fixed_point", "repeated", "max_iterations", "max_evaluations", "stopped", "complete"};
  return names[static_cast<std::size_t>(reason)];
}

Recorder::Recorder(const Problem& problem, const SearchOptions& options, std::string_view search)
    : problem_(&problem),
      search_(search),
      k_(options.k),
      max_evaluations_(options.max_evaluations),
      matrix_(options.matrix),
      start_(problem.oracle.counts()) {
  check_options(options, problem.oracle.n_tasks());
  D2C_EXPECTS(problem.objective.n_tasks() == problem.oracle.n_tasks());
}

std::int64_t Recorder::evaluations() const {
  return problem_->oracle.counts().evaluations - start_.evaluations;
}

std::int64_t Recorder::evaluations_left() const {
  if (max_evaluations_ == 0) return std::numeric_limits<std::int64_t>::max();
  return std::max(max_evaluations_ - evaluations(), std::int64_t{0});
}

void Recorder::begin_restart(std::uint64_t stream) {
  history_.clear();
  restart_score_ = Score{};
  stream_ = stream;
  evaluations_before_ = evaluations();
  best_is_of_this_restart_ = false;
}

void Recorder::offer(const Partition& partition, const Score& score) {
  restart_score_ = std::min(restart_score_, score);
  if (!(score < best_score_)) return;
  best_ = partition;
  best_score_ = score;
  best_is_of_this_restart_ = true;
  result_.curve.push_back({evaluations(), score.value, watch_.seconds()});
  result_.best_restart = static_cast<int>(result_.restarts.size());
  result_.best_iteration = static_cast<int>(history_.size());
}

void Recorder::iteration(const Partition& partition, LossMatrix loss, const Score& score) {
  offer(partition, score);
  int moved = 0;
  if (!history_.empty())
    for (const TaskId task : partition.tasks())
      moved += partition[task] != history_.back().assignment[task] ? 1 : 0;
  const double now = watch_.seconds();
  const double seconds = now - std::exchange(last_iteration_, now);
  history_.push_back(
      {partition.assignment(), std::move(loss), score.value, moved, evaluations(), seconds});
  if (problem_->observer == nullptr) return;
  problem_->observer->on_iteration({search_, k_, static_cast<int>(result_.restarts.size()),
                                    static_cast<int>(history_.size()) - 1, moved, score.value,
                                    best_score_.value, evaluations()});
}

void Recorder::end_restart(StopReason reason) {
  result_.restarts.push_back({restart_score_.value, static_cast<int>(history_.size()),
                              evaluations() - evaluations_before_, reason, stream_});
  if (best_is_of_this_restart_) result_.history = std::move(history_);
  history_.clear();
}

std::optional<StopReason> Recorder::must_stop() {
  if (stop_ || best_.n_tasks() == 0) return stop_;
  if (max_evaluations_ > 0 && evaluations() >= max_evaluations_)
    stop_ = StopReason::max_evaluations;
  else if (problem_->stop && problem_->stop())
    stop_ = StopReason::stopped;
  return stop_;
}

SearchResult Recorder::finish() {
  D2C_EXPECTS(best_.n_tasks() > 0);
  const ClusterLabels labels = best_.canonical_labels();
  result_.partition = best_.relabelled(labels);
  result_.loss = matrix_ == ResultMatrix::full ? loss_matrix(problem_->oracle, result_.partition)
                                               : known_matrix(problem_->oracle, result_.partition);
  result_.score = best_score_;
  result_.objective = best_score_.value;
  for (Iteration& iteration : result_.history) {
    for (ClusterId& cluster : iteration.assignment) cluster = labels[cluster];
    iteration.loss = iteration.loss.relabelled(labels);
  }
  const CachedOracle::Counts& now = problem_->oracle.counts();
  result_.counts = {now.evaluations - start_.evaluations, now.replayed - start_.replayed,
                    now.cached - start_.cached};
  return std::move(result_);
}

}  // namespace d2c::cluster
