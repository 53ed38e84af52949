#pragma once

#include <limits>
#include <tuple>
#include <vector>

#include "d2c/core/enum_names.hpp"
#include "d2c/core/id_vector.hpp"

namespace d2c::cluster {

enum class ObjectiveKind {
  loss,   ///< weighted mean loss, nats per token
  gain,   ///< weighted mean of 1 - gain: 0 = as good as every task's own adapter, 1 = base model
  worst,  ///< largest 1 - gain of all tasks
};

inline constexpr auto objective_names = enum_names<ObjectiveKind>({
    {ObjectiveKind::loss, "loss"},
    {ObjectiveKind::gain, "gain"},
    {ObjectiveKind::worst, "worst"},
});

/// What a search minimises; compared first by value.
struct Score {
  double value = std::numeric_limits<double>::infinity();
  double tie = 0;  ///< weighted mean cost where `value` is a maximum, else 0
  friend bool operator<(const Score& a, const Score& b) {
    return std::tie(a.value, a.tie) < std::tie(b.value, b.tie);
  }
};

/// The losses that a gain is measured against, nats per token.
struct References {
  IdVector<TaskId, double> base;  ///< base model, no adapter
  IdVector<TaskId, double> own;   ///< the task's own adapter
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

  /// @param weights  finite, >= 0, not all 0; empty = 1 for each task
  /// @param references  needed for gain and worst
  /// @throws UsageError if the weights are not as above
  Objective(ObjectiveKind kind, int n_tasks, IdVector<TaskId, double> weights = {},
            References references = {});

  [[nodiscard]] ObjectiveKind kind() const { return kind_; }
  [[nodiscard]] int n_tasks() const { return weights_.n(); }
  [[nodiscard]] double weight(TaskId task) const { return weights_[task]; }
  /// Cost of one task: increases with its loss.
  [[nodiscard]] double cost(TaskId task, double loss) const {
    return (loss - offset_[task]) / scale_[task];
  }
  /// Weighted cost of a task above that of another of its losses.
  [[nodiscard]] double excess(TaskId task, double loss, double reference) const {
    return weight(task) * (cost(task, loss) - cost(task, reference));
  }
  /// 1 = as good as the own adapter, 0 = base model; NaN where it is not defined.
  [[nodiscard]] double gain(TaskId task, double loss) const;
  /// @param losses  of every task under its cluster
  [[nodiscard]] Score score(const IdVector<TaskId, double>& losses) const;
  /// Tasks without a gain, ascending. Empty for `loss`.
  [[nodiscard]] const std::vector<TaskId>& helpless() const { return helpless_; }

 private:
  ObjectiveKind kind_;
  IdVector<TaskId, double> weights_;
  double total_weight_ = 0;
  IdVector<TaskId, double> offset_;
  IdVector<TaskId, double> scale_;
  std::vector<TaskId> helpless_;
};

}  // namespace d2c::cluster
