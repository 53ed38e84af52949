#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "d2c/cluster/search.hpp"
#include "d2c/core/timer.hpp"

namespace d2c::job {

/// Logs each iteration of a search, and notes when it came.
class ProgressLog final : public cluster::Observer {
 public:
  /// @param log  gets a line per iteration; may be empty
  explicit ProgressLog(std::function<void(const std::string&)> log) : log_(std::move(log)) {}

  void on_iteration(const cluster::Progress& progress) override;

  /// Seconds that an iteration took, what led to it included.
  [[nodiscard]] double seconds(int restart, int iteration) const;

 private:
  std::function<void(const std::string&)> log_;
  Stopwatch watch_;
  double last_ = 0.0;
  std::map<std::pair<int, int>, double> seconds_;
};

}  // namespace d2c::job
