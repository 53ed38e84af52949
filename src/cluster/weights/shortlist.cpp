#include "weights/shortlist.hpp"

#include <algorithm>
#include <limits>

namespace d2c::cluster {
namespace {

constexpr std::size_t fewest = 2;
constexpr std::size_t most = 8;
// More than `fewest` only where a move costs at most so many times what it saves.
constexpr double margin = 1.5;

}  // namespace

Shortlist::Means Shortlist::means(const Partition& partition) const {
  Means means{{partition.n_tasks(), partition.k()}, IdVector<ClusterId, double>(partition.k())};
  const IdVector<ClusterId, int> size = partition.sizes();
  for (const TaskId task : partition.tasks()) {
    for (const TaskId other : partition.tasks())
      means.with(task, partition[other]) += (*similarity_)(task, other);
    for (const ClusterId c : partition.cluster_ids())
      if (size[c] > 0) means.with(task, c) /= size[c];
    means.squared[partition[task]] += means.with(task, partition[task]) / size[partition[task]];
  }
  return means;
}

Shortlist::Entries Shortlist::entries(const Rules& rules, const Partition& partition) const {
  const Means mean = means(partition);
  const IdVector<ClusterId, int> size = partition.sizes();
  std::vector<std::pair<double, Entries::value_type>> found;
  for (const BlockId b : rules.blocks()) {
    const TaskSet& block = rules.block(b);
    const ClusterId from = partition[block.front()];
    const auto m = static_cast<double>(block.size());
    const auto distance = [&](ClusterId c) {
      double sum = 0;
      for (const TaskId task : block)
        sum += (*similarity_)(task, task) - 2 * mean.with(task, c) + mean.squared[c];
      return std::max(sum, 0.0);
    };
    // As LocalSearch::predicted_move, with distances for losses.
    std::vector<std::pair<double, ClusterId>> costs;
    for (const ClusterId to : partition.cluster_ids())
      if (to != from && size[to] > 0)
        costs.emplace_back(size[to] / (size[to] + m) * distance(to), to);
    const double saves = size[from] > m ? size[from] / (size[from] - m) * distance(from) : 0;
    const auto end = costs.begin() + static_cast<std::ptrdiff_t>(std::min(most, costs.size()));
    std::partial_sort(costs.begin(), end, costs.end());
    costs.erase(end, costs.end());
    for (std::size_t i = 0; i < costs.size(); ++i)
      if (i < fewest || costs[i].first <= margin * saves)
        found.emplace_back(costs[i].first - saves, std::pair(b, costs[i].second));
  }
  std::ranges::sort(found);
  Entries entries;
  for (const auto& [increase, entry] : found) entries.push_back(entry);
  return entries;
}

IdMatrix<ClusterId, ClusterId> Shortlist::unions(const Partition& partition) const {
  const Means mean = means(partition);
  const IdVector<ClusterId, int> size = partition.sizes();
  IdMatrix<ClusterId, ClusterId> between(partition.k(), partition.k());
  for (const TaskId task : partition.tasks())
    for (const ClusterId c : partition.cluster_ids())
      between(partition[task], c) += mean.with(task, c) / size[partition[task]];
  IdMatrix<ClusterId, ClusterId> added(partition.k(), partition.k(),
                                       std::numeric_limits<double>::infinity());
  for (const ClusterId a : partition.cluster_ids())
    for (const ClusterId b : partition.cluster_ids()) {
      if (a == b || size[a] == 0 || size[b] == 0) continue;
      const double n_a = size[a];
      const double n_b = size[b];
      added(a, b) =
          n_a * n_b / (n_a + n_b) * (mean.squared[a] - 2 * between(a, b) + mean.squared[b]);
    }
  return added;
}

}  // namespace d2c::cluster
