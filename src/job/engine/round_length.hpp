#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"

namespace d2c::job {

/// How much is done before the ranks look for signals again: a round shall not take longer than
/// `longest` seconds, if one piece for each rank does not, whatever the pieces that come later
/// cost.
class RoundLength {
 public:
  RoundLength(int n_ranks, double longest) : n_ranks_(n_ranks), longest_(longest) {}

  /// How many pieces the next round has. @param costs  of those that are left, in their order
  [[nodiscard]] std::size_t next(std::span<const double> costs) const {
    double sum = 0.0;
    std::size_t n = 0;
    for (; n < costs.size(); ++n) {
      sum += costs[n];
      if (sum > room_ && std::cmp_greater_equal(n, n_ranks_)) break;
    }
    return n;
  }

  /// @param cost     of all pieces of the round before
  /// @param seconds  that it took
  void learn(double cost, double seconds) {
    if (seconds < longest_ / 2) {
      room_ = 2 * std::max(room_, cost);
    } else if (seconds > longest_) {
      room_ = std::min(room_, cost) / 2;
    }
  }

  /// Does one round, and learns from it. Collective.
  /// @param costs  of the pieces that are left
  /// @param work   does as many of them as it is told
  /// @return       how many these were
  template <class Work>
  std::size_t round(comm::Communicator& comm, std::span<const double> costs, const Work& work) {
    const Stopwatch watch;
    const std::size_t n = next(costs);
    work(n);
    std::array<double, 1> seconds{watch.seconds()};
    comm.maximum(seconds);
    const auto done = costs.first(n);
    learn(std::accumulate(done.begin(), done.end(), 0.0), seconds[0]);
    return n;
  }

 private:
  int n_ranks_;
  double longest_;
  double room_ = 0.0;  ///< cost of a round
};

}  // namespace d2c::job
