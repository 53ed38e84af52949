#pragma once

#include <algorithm>
#include <iterator>

#include "d2c/cluster/oracle.hpp"

namespace d2c::cluster {

[[nodiscard]] inline TaskSet united(const TaskSet& a, const TaskSet& b) {
  TaskSet result;
  result.reserve(a.size() + b.size());
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

[[nodiscard]] inline TaskSet without(const TaskSet& set, const TaskSet& removed) {
  TaskSet result;
  std::set_difference(set.begin(), set.end(), removed.begin(), removed.end(),
                      std::back_inserter(result));
  return result;
}

[[nodiscard]] inline bool contains(const TaskSet& set, TaskId task) {
  return std::binary_search(set.begin(), set.end(), task);
}

}  // namespace d2c::cluster
