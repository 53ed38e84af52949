#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

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

 private:
  int n_ranks_;
  double longest_;
  double room_ = 0.0;  ///< cost of a round
};

}  // namespace d2c::job
