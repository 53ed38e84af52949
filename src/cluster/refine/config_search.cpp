#include "refine/config_search.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace d2c::cluster {
namespace {

class MethodSearch final : public ConfigSearch {
 public:
  MethodSearch(MergeConfig start, double value, int n_methods, bool scale_is_free)
      : ConfigSearch(std::move(start), value) {
    const std::vector<double> factors =
        scale_is_free ? std::vector<double>{1.0, 1.5, 2.5, 4.0, 8.0} : std::vector<double>{1.0};
    for (int method = 0; method < n_methods; ++method)
      for (const double factor : factors) {
        MergeConfig config = best();
        config.method = method;
        config.scale *= factor;
        if (config != best()) candidates_.push_back(std::move(config));
      }
  }

  std::vector<MergeConfig> propose() override { return std::exchange(candidates_, {}); }

  void judge(std::span<const MergeConfig> configs, std::span<const double> values) override {
    for (std::size_t i = 0; i < configs.size(); ++i) offer(configs[i], values[i]);
  }

 private:
  std::vector<MergeConfig> candidates_;
};

class ScaleSearch final : public ConfigSearch {
 public:
  ScaleSearch(MergeConfig start, double value) : ConfigSearch(std::move(start), value) {
    value_of_[best().scale] = value;
    for (const double factor : {0.6, 0.8, 1.25, 1.6, 2.0, 2.5})
      next_.push_back(best().scale * factor);
  }

  std::vector<MergeConfig> propose() override {
    std::vector<MergeConfig> configs;
    for (const double scale : next_) {
      configs.push_back(best());
      configs.back().scale = scale;
    }
    return configs;
  }

  void judge(std::span<const MergeConfig> configs, std::span<const double> values) override {
    for (std::size_t i = 0; i < configs.size(); ++i) {
      value_of_[configs[i].scale] = values[i];
      offer(configs[i], values[i]);
    }
    next_.clear();
    if (++round_ == rounds) return;
    const auto at = value_of_.find(best().scale);
    // At the end of the grid it goes on; inside, the intervals beside the best are halved.
    if (at != value_of_.begin()) next_.push_back(std::sqrt(std::prev(at)->first * at->first));
    if (std::next(at) != value_of_.end())
      next_.push_back(std::sqrt(at->first * std::next(at)->first));
    else
      next_.push_back(at->first * step);
  }

 private:
  static constexpr int rounds = 3;
  static constexpr double step = 1.4;
  std::map<double, double> value_of_;
  std::vector<double> next_;
  int round_ = 0;
};

class WeightSearch final : public ConfigSearch {
 public:
  WeightSearch(MergeConfig start, double value) : ConfigSearch(std::move(start), value) {}

  std::vector<MergeConfig> propose() override {
    if (best().members.size() < 2 || round_ == rounds) return {};
    return direction_.empty() ? probes() : steps();
  }

  void judge(std::span<const MergeConfig> configs, std::span<const double> values) override {
    if (direction_.empty()) {
      set_direction(values);
      return;
    }
    const double before = best_value();
    for (std::size_t i = 0; i < configs.size(); ++i) offer(configs[i], values[i]);
    direction_.clear();
    round_ = best_value() < before ? round_ + 1 : rounds;
  }

 private:
  static constexpr int rounds = 3;

  [[nodiscard]] std::vector<double> weights() const {
    if (!best().weights.empty()) return best().weights;
    const std::size_t n = best().members.size();
    return std::vector<double>(n, 1.0 / static_cast<double>(n));
  }

  [[nodiscard]] MergeConfig with(std::vector<double> weights) const {
    double sum = 0;
    for (const double weight : weights) sum += weight;
    for (double& weight : weights) weight /= sum;
    MergeConfig config = best();
    config.weights = std::move(weights);
    return config;
  }

  [[nodiscard]] std::vector<MergeConfig> probes() const {
    std::vector<MergeConfig> configs;
    for (std::size_t i = 0; i < best().members.size(); ++i) {
      std::vector<double> changed = weights();
      changed[i] *= 2;
      configs.push_back(with(std::move(changed)));
    }
    return configs;
  }

  /// Away from the members whose larger weight costs more than the others' does.
  void set_direction(std::span<const double> values) {
    double mean = 0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    double largest = 0;
    for (const double value : values) {
      direction_.push_back(mean - value);
      largest = std::max(largest, std::abs(direction_.back()));
    }
    if (!(largest > 0)) {
      round_ = rounds;
      return;
    }
    for (double& d : direction_) d /= largest;
  }

  [[nodiscard]] std::vector<MergeConfig> steps() const {
    std::vector<MergeConfig> configs;
    for (const double length : {0.2, 0.5, 1.0, 2.0}) {
      std::vector<double> changed = weights();
      for (std::size_t i = 0; i < changed.size(); ++i)
        changed[i] *= std::exp(length * direction_[i]);
      configs.push_back(with(std::move(changed)));
    }
    return configs;
  }

  std::vector<double> direction_;  // log weight per unit of length; empty = probe first
  int round_ = 0;
};

}  // namespace

std::unique_ptr<ConfigSearch> method_search(MergeConfig start, double value, int n_methods,
                                            bool scale_is_free) {
  return std::make_unique<MethodSearch>(std::move(start), value, n_methods, scale_is_free);
}

std::unique_ptr<ConfigSearch> scale_search(MergeConfig start, double value) {
  return std::make_unique<ScaleSearch>(std::move(start), value);
}

std::unique_ptr<ConfigSearch> weight_search(MergeConfig start, double value) {
  return std::make_unique<WeightSearch>(std::move(start), value);
}

}  // namespace d2c::cluster
