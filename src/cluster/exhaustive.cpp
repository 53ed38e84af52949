#include <bit>
#include <map>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "evaluate.hpp"
#include "methods.hpp"
#include "recorder.hpp"
#include "rules.hpp"

namespace d2c::cluster {
namespace {

/// Number of partitions of n items into at most k parts (sum of Stirling numbers), as a double.
double n_partitions(int n, int k) {
  std::vector<double> parts(static_cast<std::size_t>(k) + 1);  // Stirling numbers of one n
  parts[0] = 1;
  for (int i = 1; i <= n; ++i)
    for (int j = k; j >= 0; --j) {
      const auto at = static_cast<std::size_t>(j);
      parts[at] = j == 0 ? 0 : j * parts[at] + parts[at - 1];
    }
  double total = 0;
  for (const double count : parts) total += count;
  return total;
}

/// Restricted growth strings: every partition into at most k parts once, in lexicographic order.
/// Source: Knuth, TAOCP 4A, 7.2.1.5.
bool next_partition(Assignment& labels, int k) {
  for (std::size_t i = labels.size(); i-- > 1;) {
    int highest = 0;
    for (std::size_t j = 0; j < i; ++j) highest = std::max(highest, labels[j]);
    if (labels[i] > highest || labels[i] + 1 >= k) continue;
    ++labels[i];
    std::fill(labels.begin() + static_cast<std::ptrdiff_t>(i) + 1, labels.end(), 0);
    return true;
  }
  return false;
}

class Exhaustive {
 public:
  Exhaustive(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        recorder_(problem, options, "exhaustive"),
        rules_(options.constraints, problem.oracle.n_tasks(), options.k) {}

  SearchResult run() {
    constexpr double most = 1e6;
    const double count = n_partitions(rules_.n_blocks(), options_.k);
    if (count > most)
      throw UsageError({fmt::format("{:.3g} partitions of {} tasks into at most {} clusters", count,
                                    rules_.n_blocks(), options_.k),
                        fmt::format("an exhaustive search tries at most {:.0g}", most),
                        "use 'auto', or fewer tasks"});
    recorder_.begin_restart();
    StopReason reason = StopReason::complete;
    value_starts();
    Assignment labels(static_cast<std::size_t>(rules_.n_blocks()));
    bool more = true;
    while (more) {
      std::vector<Partition> batch;
      while (more && batch.size() < 1024 && new_sets_.size() < 64) {
        Partition partition = of_tasks(labels);
        if (rules_.allows(partition)) {
          note(partition);
          batch.push_back(std::move(partition));
        }
        more = next_partition(labels, options_.k);
      }
      value(batch);
      if (const auto stop = recorder_.must_stop(); stop && more) {
        reason = *stop;
        break;
      }
    }
    if (recorder_.best().n_tasks() == 0)
      throw UsageError({"no partition meets the constraints", "", "drop some of them"});
    const Partition best = recorder_.best();
    recorder_.iteration(best, known_matrix(problem_.oracle, best), recorder_.best_score(), 0);
    recorder_.end_restart(reason);
    return recorder_.finish();
  }

 private:
  [[nodiscard]] Partition of_tasks(const Assignment& labels) const {
    Assignment assignment(static_cast<std::size_t>(problem_.oracle.n_tasks()));
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b))
        assignment[static_cast<std::size_t>(task)] = labels[static_cast<std::size_t>(b)];
    return {std::move(assignment), options_.k};
  }

  void value_starts() {
    std::vector<Partition> starts;
    for (const Assignment& start : options_.starts) {
      starts.push_back(rules_.repaired(Partition(start, options_.k), EmptyClusters::allow));
      note(starts.back());
    }
    if (!starts.empty()) value(starts);
  }

  void note(const Partition& partition) {
    for (TaskSet& set : partition.clusters())
      if (!set.empty() && !losses_.contains(set)) new_sets_.try_emplace(std::move(set));
  }

  void value(const std::vector<Partition>& batch) {
    std::vector<TaskSet> sets;
    std::vector<Query> queries;
    for (const auto& [set, unused] : new_sets_) {
      for (const int task : set) queries.push_back({static_cast<int>(sets.size()), task});
      sets.push_back(set);
    }
    const std::vector<double> values = problem_.oracle.losses(sets, queries);
    for (std::size_t i = 0; i < queries.size(); ++i)
      losses_[sets[static_cast<std::size_t>(queries[i].set)]].push_back(values[i]);
    new_sets_.clear();

    std::vector<double> losses(static_cast<std::size_t>(problem_.oracle.n_tasks()));
    for (const Partition& partition : batch) {
      for (const TaskSet& set : partition.clusters()) {
        if (set.empty()) continue;
        const std::vector<double>& of_set = losses_.at(set);
        for (std::size_t i = 0; i < set.size(); ++i)
          losses[static_cast<std::size_t>(set[i])] = of_set[i];
      }
      recorder_.offer(partition, problem_.objective.score(losses));
    }
  }

  const Problem& problem_;
  const SearchOptions& options_;
  Recorder recorder_;
  Rules rules_;
  std::map<TaskSet, std::vector<double>> losses_;  // of the members
  std::map<TaskSet, int> new_sets_;
};

}  // namespace

SearchResult exhaustive_search(const Problem& problem, const SearchOptions& options) {
  return Exhaustive(problem, options).run();
}

}  // namespace d2c::cluster
