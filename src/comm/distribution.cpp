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

std::vector<std::uint32_t> cut(std::span<const double> costs, int n_ranks) {
  D2C_EXPECTS(n_ranks > 0 && costs.size() < (std::size_t{1} << 32));
  const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
  std::vector<std::uint32_t> begin{0};
  double before = 0.0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    // An item belongs to the rank in whose share of the total its middle lies.
    const double middle = total > 0
                              ? (before + costs[i] / 2) / total
                              : (static_cast<double>(i) + 0.5) / static_cast<double>(costs.size());
    while (std::ssize(begin) < n_ranks && middle * n_ranks >= static_cast<double>(begin.size())) {
      begin.push_back(static_cast<std::uint32_t>(i));
    }
    before += costs[i];
  }
  begin.resize(static_cast<std::size_t>(n_ranks) + 1, static_cast<std::uint32_t>(costs.size()));
  return begin;
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
