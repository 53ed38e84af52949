#include "d2c/comm/distribution.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c::comm {

std::vector<int> balance(std::span<const double> costs, int n_ranks) {
  D2C_EXPECTS(n_ranks > 0);
  std::vector<int> order(costs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return costs[static_cast<std::size_t>(a)] > costs[static_cast<std::size_t>(b)];
  });

  using Load = std::pair<double, int>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> ranks;
  for (int rank = 0; rank < n_ranks; ++rank) ranks.emplace(0.0, rank);
  std::vector<int> owners(costs.size());
  for (const int item : order) {
    const auto [load, rank] = ranks.top();
    ranks.pop();
    owners[static_cast<std::size_t>(item)] = rank;
    ranks.emplace(load + costs[static_cast<std::size_t>(item)], rank);
  }
  return owners;
}

std::vector<int> owned_by(std::span<const int> owners, int rank) {
  std::vector<int> items;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (owners[i] == rank) items.push_back(static_cast<int>(i));
  }
  return items;
}

double imbalance(std::span<const double> costs, std::span<const int> owners, int n_ranks) {
  std::vector<double> loads(static_cast<std::size_t>(n_ranks), 0.0);
  for (std::size_t i = 0; i < costs.size(); ++i) {
    loads[static_cast<std::size_t>(owners[i])] += costs[i];
  }
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0);
  return total > 0 ? *std::max_element(loads.begin(), loads.end()) * n_ranks / total : 1.0;
}

}  // namespace d2c::comm
