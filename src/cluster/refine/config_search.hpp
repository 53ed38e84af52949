#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/refine.hpp"

namespace d2c::cluster {

/// One step of the refinement of one cluster. It proposes merge configurations and is told their
/// values, so that the caller can measure those of many searches together.
class ConfigSearch {
 public:
  /// @param value  of the start; lower is better
  ConfigSearch(MergeConfig start, double value) : best_(std::move(start)), best_value_(value) {}
  virtual ~ConfigSearch() = default;

  /// The next ones to value; empty = the search has ended.
  [[nodiscard]] virtual std::vector<MergeConfig> propose() = 0;
  /// @param configs  what was proposed
  /// @param values   of them
  virtual void judge(std::span<const MergeConfig> configs, std::span<const double> values) = 0;

  [[nodiscard]] const MergeConfig& best() const { return best_; }

 protected:
  /// Keeps one that is better than all before.
  void offer(const MergeConfig& config, double value) {
    if (!(value < best_value_)) return;
    best_ = config;
    best_value_ = value;
  }
  [[nodiscard]] double best_value() const { return best_value_; }

 private:
  MergeConfig best_;
  double best_value_;
};

/// Every method; at several scales where the scale is free, since methods differ in their norm.
[[nodiscard]] std::unique_ptr<ConfigSearch> method_search(MergeConfig start, double value,
                                                          int n_methods, bool scale_is_free);
/// A grid of scales about the start, then twice as fine about the best.
[[nodiscard]] std::unique_ptr<ConfigSearch> scale_search(MergeConfig start, double value);
/// Multiplicative steps on the simplex: the change of the value when each member's weight doubles
/// is the direction; several lengths are tried.
[[nodiscard]] std::unique_ptr<ConfigSearch> weight_search(MergeConfig start, double value);

}  // namespace d2c::cluster
