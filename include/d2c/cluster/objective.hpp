#pragma once

#include <limits>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

namespace d2c::cluster {

enum class ObjectiveKind {
  loss,   ///< weighted mean loss, nats per token
  gain,   ///< weighted mean of 1 - gain: 0 = as good as every task's own adapter, 1 = base model
  worst,  ///< largest 1 - gain of all tasks
};

/// @throws UsageError that lists the names
[[nodiscard]] ObjectiveKind objective_kind(std::string_view name);
[[nodiscard]] std::string_view name(ObjectiveKind kind);

/// What a search minimises; compared first by value.
struct Score {
  double value = std::numeric_limits<double>::infinity();
  double tie = 0;  ///< weighted mean cost where `value` is a maximum, else 0
  friend bool operator<(const Score& a, const Score& b) {
    return std::tie(a.value, a.tie) < std::tie(b.value, b.tie);
  }
};

/// The losses that a gain is measured against, nats per token, [n_tasks] each.
struct References {
  std::vector<double> base;  ///< base model, no adapter
  std::vector<double> own;   ///< the task's own adapter
};

/// Turns the loss of every task under its cluster into one number; lower is better.
///
///     gain(t) = (base(t) - loss(t)) / (base(t) - own(t))
///
/// A task whose own adapter improves the base model by less than `min_headroom` has no gain. It is
/// reported (`helpless`), and its loss above `own` enters on the scale of the other tasks: divided
/// by their median headroom.
class Objective {
 public:
  static constexpr double min_headroom = 0.01;  ///< nats per token

  /// @param weights  [n_tasks], finite, >= 0, not all 0; empty = 1 for each task
  /// @param references  needed for gain and worst
  /// @throws UsageError if the weights are not as above
  Objective(ObjectiveKind kind, int n_tasks, std::vector<double> weights = {},
            References references = {});

  [[nodiscard]] ObjectiveKind kind() const { return kind_; }
  [[nodiscard]] int n_tasks() const { return static_cast<int>(weights_.size()); }
  [[nodiscard]] double weight(int task) const { return weights_[static_cast<std::size_t>(task)]; }
  /// Cost of one task: increases with its loss.
  [[nodiscard]] double cost(int task, double loss) const {
    const auto t = static_cast<std::size_t>(task);
    return (loss - offset_[t]) / scale_[t];
  }
  /// 1 = as good as the own adapter, 0 = base model; NaN where it is not defined.
  [[nodiscard]] double gain(int task, double loss) const;
  /// @param losses  of every task under its cluster, [n_tasks]
  [[nodiscard]] Score score(std::span<const double> losses) const;
  /// Tasks without a gain, ascending. Empty for `loss`.
  [[nodiscard]] const std::vector<int>& helpless() const { return helpless_; }

 private:
  ObjectiveKind kind_;
  std::vector<double> weights_;
  double total_weight_ = 0;
  std::vector<double> offset_;  // [n_tasks]
  std::vector<double> scale_;   // [n_tasks]
  std::vector<int> helpless_;
};

}  // namespace d2c::cluster
