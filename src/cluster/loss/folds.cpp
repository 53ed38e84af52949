#include "d2c/cluster/folds.hpp"

namespace d2c::cluster {

std::vector<int> ExampleFolds::of(std::int64_t n_examples) const {
  std::vector<int> folds;
  int chosen = 0;
  for (std::int64_t i = 0; i < n_examples; ++i) {
    const bool kept = (i + 1) * verify / n_examples > i * verify / n_examples;
    folds.push_back(kept ? choose : chosen++ % choose);
  }
  return folds;
}

FoldSplit ExampleFolds::split(std::span<const std::int64_t> n_examples) const {
  FoldSplit split;
  for (int fold = 0; fold < choose; ++fold) split.choose.push_back(fold);
  const auto n = static_cast<std::size_t>(n_folds());
  split.weights.assign(n_examples.size() * n, 0.0);
  for (std::size_t task = 0; task < n_examples.size(); ++task)
    for (const int fold : of(n_examples[task]))
      split.weights[task * n + static_cast<std::size_t>(fold)] += 1;
  return split;
}

}  // namespace d2c::cluster
