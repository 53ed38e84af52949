#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"
#include "d2c/eval/loss_engine.hpp"
#include "d2c/eval/row_counts.hpp"

namespace d2c::test {

/// An engine without a model: the loss of a token is a number between 0 and 1 that the adapter's
/// content, the ids before it and the token decide. It takes many units at a time, and reports them
/// in another order. To learn is to come closer to a number that the lessons' ids decide: the loss
/// is half the squared distance of all values of the factors from it, times the sum of the weights.
class FakeEngine final : public eval::LossEngine {
 public:
  explicit FakeEngine(std::size_t units_at_a_time = 1) : units_at_a_time_(units_at_a_time) {}

  [[nodiscard]] std::string description() const override { return "none"; }

  [[nodiscard]] eval::AdapterHandle prepare(const lora::FactorMap& factors) override {
    ++n_prepared;
    return std::make_shared<const Adapter>(content_of(factors), factors);
  }

  void losses(eval::UnitSource& units) override {
    while (auto first = units.fetch()) {
      std::vector<eval::Unit> batch;
      batch.push_back(std::move(*first));
      while (batch.size() < units_at_a_time_) {
        auto unit = units.take(1);
        if (!unit) break;
        batch.push_back(std::move(*unit));
      }
      std::ranges::reverse(batch);
      for (eval::Unit& unit : batch) units.report(unit, evaluate(unit));
    }
  }

  /// Every module reads a few numbers that token, adapter and site decide.
  void add_inputs(const eval::AdapterHandle& adapter, std::span<const eval::Batch> batches,
                  std::span<const std::unique_ptr<lora::InputMomentSum>> sums) override {
    const auto* own = static_cast<const Adapter*>(adapter.get());
    for (const eval::Batch& batch : batches) {
      const std::vector<float> counts = eval::row_counts(batch);
      for (std::size_t site = 0; site < sums.size(); ++site) {
        if (sums[site] == nullptr) continue;
        Matrix x(std::ssize(batch.forest.ids), sums[site]->d_in());
        for (Index row = 0; row < x.rows(); ++row) {
          const std::int32_t id = batch.forest.ids[static_cast<std::size_t>(row)];
          CounterRng rng(next(own->content, id), site);
          for (float& value : x.row(row)) value = static_cast<float>(rng.uniform());
        }
        if (sums[site]->form() == lora::MomentForm::diagonal) {
          sums[site]->add_one_hot(batch.forest.ids, counts);
        } else {
          sums[site]->add(ops::rows_of(std::as_const(x)), counts);
        }
      }
    }
  }

  /// One token: the first id of the batch.
  [[nodiscard]] std::vector<std::vector<ops::SoftTargets>> most_probable(
      std::span<const eval::Unit> units, Index most) override {
    EXPECT_GT(most, 0);
    std::vector<std::vector<ops::SoftTargets>> all;
    for (const eval::Unit& unit : units) {
      auto& of_unit = all.emplace_back();
      for (const eval::Batch& batch : unit.batches) {
        ops::SoftTargets& targets = of_unit.emplace_back();
        while (targets.size() < std::ssize(batch.targets)) {
          targets.tokens.push_back(batch.forest.ids.front());
          targets.probabilities.push_back(1.0F);
          targets.begin.push_back(std::ssize(targets.tokens));
        }
      }
    }
    return all;
  }

  /// The last token of the prompt, as often as may be.
  [[nodiscard]] std::vector<std::vector<std::vector<std::int32_t>>> generate(
      std::span<const eval::Unit> units, const model::GenerationLimits& limits) override {
    generated = limits;
    std::vector<std::vector<std::vector<std::int32_t>>> all;
    for (const eval::Unit& unit : units) {
      auto& of_unit = all.emplace_back();
      for (const eval::Batch& batch : unit.batches) {
        for (const model::Target& target : batch.targets) {
          of_unit.emplace_back(static_cast<std::size_t>(limits.most_tokens),
                               batch.forest.ids[static_cast<std::size_t>(target.row)]);
        }
      }
    }
    return all;
  }

  void gradients(std::span<const eval::GradientUnit> units,
                 const eval::GradientReport& report) override {
    for (Index i = std::ssize(units) - 1; i >= 0; --i) {
      const eval::GradientUnit& unit = units[static_cast<std::size_t>(i)];
      eval::GradientResult result;
      result.gradient = static_cast<const Adapter*>(unit.adapter.get())->factors;
      double weight = 0.0;
      for (const eval::Lesson& lesson : unit.lessons) {
        EXPECT_EQ(lesson.targets.size(), std::ssize(lesson.batch.targets));
        for (const float of_target : lesson.weight) weight += static_cast<double>(of_target);
      }
      const double goal = FakeEngine::goal(unit.lessons.front().batch.forest.ids);
      for (auto& [module, d] : result.gradient) {
        for (Matrix* matrix : {&d.a, &d.b}) {
          for (float& value : matrix->values()) {
            const double distance = static_cast<double>(value) - goal;
            result.loss += 0.5 * weight * distance * distance;
            value = static_cast<float>(weight * distance);
          }
        }
      }
      report(i, std::move(result));
    }
  }

  /// What lessons with these ids are about, in [0, 1).
  [[nodiscard]] static double goal(std::span<const std::int32_t> ids) {
    std::uint64_t content = 2;
    for (const std::int32_t id : ids) content = next(content, id);
    return CounterRng(content, 1).uniform();
  }

  [[nodiscard]] std::size_t activation_bytes(const model::BatchSize& largest,
                                             Index adapter_rank) const override {
    return static_cast<std::size_t>(largest.n_tokens + adapter_rank);
  }
  [[nodiscard]] std::size_t gradient_bytes(const model::BatchSize& largest,
                                           Index adapter_rank) const override {
    return 2 * activation_bytes(largest, adapter_rank);
  }

  /// The loss of each scored token of an example, as a mean.
  [[nodiscard]] static double loss(const lora::FactorMap& factors, const eval::Example& example,
                                   eval::LossOn loss_on = eval::LossOn::response) {
    const std::uint64_t adapter = factors.empty() ? 0 : content_of(factors);
    std::vector<double> losses;
    std::uint64_t path = adapter;
    for (Index i = 0; i < std::ssize(example.ids); ++i) {
      const std::int32_t id = example.ids[static_cast<std::size_t>(i)];
      if (i >= (loss_on == eval::LossOn::response ? example.prompt_len : 1)) {
        losses.push_back(loss_of(path, id));
      }
      path = next(path, id);
    }
    return eval::mean_token_loss(losses);
  }

  double factor = 1.0;  ///< of every loss that is measured
  std::int64_t n_prepared = 0;
  std::int64_t n_tokens = 0;          ///< computed
  model::GenerationLimits generated;  ///< of the last texts

 private:
  struct Adapter final : eval::EngineAdapter {
    Adapter(std::uint64_t of, lora::FactorMap map) : content(of), factors(std::move(map)) {}
    std::uint64_t content;
    lora::FactorMap factors;
  };

  static std::uint64_t next(std::uint64_t state, std::uint64_t word) {
    return CounterRng(state, word).next();
  }
  static std::uint64_t next(std::uint64_t state, std::int32_t id) {
    return next(state, static_cast<std::uint64_t>(id));
  }
  static double loss_of(std::uint64_t path, std::int32_t label) {
    return CounterRng(next(path, label), 1).uniform();
  }
  static std::uint64_t content_of(const lora::FactorMap& factors) {
    std::uint64_t content = 1;
    for (const auto& [module, of_module] : factors) {
      content = next(content, hash_name(module));
      content = next(content, std::bit_cast<std::uint64_t>(of_module.scaling));
      for (const Matrix* matrix : {&of_module.a, &of_module.b}) {
        for (const float value : matrix->values()) {
          content = next(content, std::uint64_t{std::bit_cast<std::uint32_t>(value)});
        }
      }
    }
    return content;
  }

  [[nodiscard]] eval::UnitResult evaluate(eval::Unit& unit) {
    const auto* adapter = static_cast<const Adapter*>(unit.adapter.get());
    eval::UnitResult result;
    for (const eval::Batch& batch : unit.batches) {
      std::vector<std::uint64_t> after(batch.forest.ids.size());  // what follows each row
      for (const model::Segment& segment : batch.forest.segments) {
        std::uint64_t path = adapter == nullptr ? 0 : adapter->content;
        if (segment.parent >= 0) {
          const auto& parent = batch.forest.segments[static_cast<std::size_t>(segment.parent)];
          path = after[static_cast<std::size_t>(parent.end - 1)];
        }
        for (Index row = segment.begin; row < segment.end; ++row) {
          path = next(path, batch.forest.ids[static_cast<std::size_t>(row)]);
          after[static_cast<std::size_t>(row)] = path;
        }
      }
      for (const model::Target& target : batch.targets) {
        result.nll.push_back(factor *
                             loss_of(after[static_cast<std::size_t>(target.row)], target.label));
      }
      n_tokens += std::ssize(batch.forest.ids);
      result.seconds += static_cast<double>(batch.forest.ids.size());
    }
    return result;
  }

  std::size_t units_at_a_time_;
};

}  // namespace d2c::test
