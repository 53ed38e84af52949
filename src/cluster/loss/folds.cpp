#include "d2c/cluster/folds.hpp"

#include <algorithm>

namespace d2c::cluster {

std::vector<FoldId> ExampleFolds::of(std::int64_t n_examples) const {
  std::vector<FoldId> folds;
  int chosen = 0;
  for (std::int64_t i = 0; i < n_examples; ++i) {
    const bool kept = (i + 1) * verify / n_examples > i * verify / n_examples;
    folds.push_back(FoldId(kept ? choose : chosen++ % choose));
  }
  return folds;
}

std::int64_t ExampleFolds::n_seen(std::int64_t n_examples) const {
  return std::ranges::count_if(of(n_examples), [this](FoldId fold) { return sees(fold); });
}

FoldSplit ExampleFolds::split(const IdVector<TaskId, std::int64_t>& n_examples) const {
  FoldSplit split{.choose = {}, .weights = {n_examples.n(), n_folds()}};
  for (const FoldId fold : ids<FoldId>(choose)) split.choose.push_back(fold);
  for (const TaskId task : n_examples.ids())
    for (const FoldId fold : of(n_examples[task])) split.weights(task, fold) += 1;
  return split;
}

}  // namespace d2c::cluster
