#pragma once

#include <cstdint>
#include <string>

#include "d2c/cluster/search.hpp"
#include "d2c/core/progress.hpp"

namespace d2c::job {

/// Tells how a search goes.
class ProgressLog final : public cluster::Observer {
 public:
  /// @param progress  outlives this object
  explicit ProgressLog(Progress& progress) : progress_(progress) {}

  /// @param what             is done: "search auto"
  /// @param k                of the first search; a sweep goes on with others
  /// @param max_evaluations  0 = no limit
  void begin(const std::string& what, int k, std::int64_t max_evaluations);
  void on_iteration(const cluster::Progress& state) override;

 private:
  Progress& progress_;
  std::string what_;
  std::int64_t max_evaluations_ = 0;
  int k_ = 0;  ///< that was begun with
};

}  // namespace d2c::job
