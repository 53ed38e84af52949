#pragma once

#include <functional>
#include <string>
#include <utility>

#include "d2c/cluster/search.hpp"
#include "d2c/core/timer.hpp"

namespace d2c::job {

/// Logs each iteration of a search.
class ProgressLog final : public cluster::Observer {
 public:
  /// @param log  gets a line per iteration
  explicit ProgressLog(std::function<void(const std::string&)> log) : log_(std::move(log)) {}

  void on_iteration(const cluster::Progress& progress) override;

 private:
  std::function<void(const std::string&)> log_;
  Stopwatch watch_;
};

}  // namespace d2c::job
