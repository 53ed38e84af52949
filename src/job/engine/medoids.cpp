#include "engine/medoids.hpp"

#include <limits>

namespace d2c::job {

using cluster::Query;
using cluster::TaskSet;

void Medoids::choose(std::span<const TaskSet> sets, const MeasureLosses& measure) {
  measure_singles(sets, measure);
  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    double lowest = std::numeric_limits<double>::infinity();
    for (const AdapterId adapter : merger_.members_of(set).adapters) {
      double sum = 0.0;
      for (const TaskId task : set) sum += single_losses_.at({adapter, task});
      if (sum < lowest) {
        lowest = sum;
        medoids_[set] = adapter;
      }
    }
  }
}

/// The losses of tasks under single adapters that new sets need.
void Medoids::measure_singles(std::span<const TaskSet> sets, const MeasureLosses& measure) {
  std::vector<MergeRequest> singles;
  std::vector<Query> queries;
  std::map<AdapterId, std::size_t> single_of_adapter;
  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    for (const AdapterId adapter : merger_.members_of(set).adapters) {
      for (const TaskId task : set) {
        if (!single_losses_.emplace(std::pair(adapter, task), 0.0).second) continue;
        const auto [place, fresh] = single_of_adapter.emplace(adapter, singles.size());
        if (fresh) singles.push_back({{adapter}, {1.0}, merger_.plan().scale});
        queries.push_back({place->second, task});
      }
    }
  }
  const std::vector<double> values = measure(singles, queries);
  const auto n = static_cast<std::size_t>(folds_.n_folds());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const AdapterId adapter = singles[queries[q].set].adapters.front();
    const TaskId task = queries[q].task;
    single_losses_[{adapter, task}] = mean_to_choose_by(task, &values[q * n]);
  }
}

/// Mean over the examples that a search looks at. @param fold_losses  [n_folds]
double Medoids::mean_to_choose_by(TaskId task, const double* fold_losses) const {
  std::vector<double> examples(static_cast<std::size_t>(folds_.choose), 0.0);
  const std::int64_t n_examples = tasks_.facts(task, Split::few_shot).n_examples;
  for (const FoldId fold : folds_.of(n_examples)) {
    if (folds_.sees(fold)) examples[fold.index()] += 1;
  }
  double sum = 0.0;
  double total = 0.0;
  for (std::size_t fold = 0; fold < examples.size(); ++fold) {
    sum += examples[fold] * fold_losses[fold];
    total += examples[fold];
  }
  return sum / total;
}

}  // namespace d2c::job
