#pragma once

#include <chrono>
#include <map>
#include <string>

#include "d2c/core/activity.hpp"

namespace d2c {

/// Seconds since construction, from a monotonic clock.
class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Seconds spent per named phase on this rank.
class PhaseTimers {
 public:
  /// Adds the time from construction to destruction to one phase.
  class Scope {
   public:
    Scope(const std::string& phase, double& total)
        : activity_("in the phase " + phase), total_(total) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { total_ += watch_.seconds(); }

   private:
    Activity activity_;  ///< a failure without a place of its own names the phase
    double& total_;
    Stopwatch watch_;
  };

  [[nodiscard]] Scope scope(const std::string& phase) { return {phase, seconds_[phase]}; }
  void add(const std::string& phase, double seconds) { seconds_[phase] += seconds; }
  [[nodiscard]] const std::map<std::string, double>& seconds() const { return seconds_; }

 private:
  std::map<std::string, double> seconds_;
};

}  // namespace d2c
