#pragma once

#include <map>
#include <span>
#include <vector>

#include "d2c/cluster/search.hpp"

#include "partition/rules.hpp"

namespace d2c::cluster {

/// A cluster cut in two, with the losses of the members of both halves.
struct Split {
  TaskSet first;  ///< empty = the set cannot be split
  TaskSet second;
  std::vector<double> losses;  ///< of first, then of second
};

/// Cuts clusters in two: around the block that fits worst, and the block that fits that one worst;
/// every other block joins the one whose adapter serves it better.
class Splitter {
 public:
  Splitter(const Problem& problem, const Rules& rules, IdVector<TaskId, double> own);

  /// One split per set. Sets that were split before cost nothing.
  [[nodiscard]] std::vector<Split> split(std::span<const TaskSet> sets);

 private:
  struct Cut;
  [[nodiscard]] std::vector<double> block_excess(const Cut& cut,
                                                 std::span<const double> losses) const;
  void measure(std::vector<Cut>& cuts);

  const Problem& problem_;
  const Rules& rules_;
  IdVector<TaskId, double> own_;
  std::map<TaskSet, Split> known_;
};

}  // namespace d2c::cluster
