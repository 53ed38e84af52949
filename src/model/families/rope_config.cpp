#include "families/rope_config.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

namespace d2c::model {
namespace {

struct Rope {
  double theta;
  Index rotary_dim;
  Index max_positions;
};

std::vector<double> plain_frequencies(const Rope& rope) {
  std::vector<double> result;
  for (Index i = 0; i < rope.rotary_dim; i += 2) {
    result.push_back(
        std::pow(rope.theta, -static_cast<double>(i) / static_cast<double>(rope.rotary_dim)));
  }
  return result;
}

RopeConfig linear(ConfigReader& scaling, const Rope& rope) {
  const double factor = scaling.positive_number("factor");
  RopeConfig result{plain_frequencies(rope)};
  for (double& frequency : result.inverse_frequencies) frequency /= factor;
  return result;
}

/// Up to max_position_embeddings tokens the frequencies are the plain ones; beyond, they change
/// with the length of the sequence, which prefixes shared by several sequences cannot follow.
RopeConfig dynamic(ConfigReader& scaling, const Rope& rope) {
  scaling.ignore({"factor"});
  const Index original = scaling.positive("original_max_position_embeddings", rope.max_positions);
  return {plain_frequencies(rope), 1.0, std::min(original, rope.max_positions)};
}

RopeConfig llama3(ConfigReader& scaling, const Rope& rope) {
  const double factor = scaling.positive_number("factor");
  const double low = scaling.positive_number("low_freq_factor");
  const double high = scaling.positive_number("high_freq_factor");
  const double original = scaling.positive_number("original_max_position_embeddings");
  if (high <= low) {
    scaling.fail("high_freq_factor", "is not above low_freq_factor", "the scaling is undefined",
                 "use the model's own config.json");
  }
  RopeConfig result{plain_frequencies(rope)};
  for (double& frequency : result.inverse_frequencies) {
    const double turns = original * frequency / (2.0 * std::numbers::pi);
    const double smooth = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    frequency = (1.0 - smooth) * frequency / factor + smooth * frequency;
  }
  return result;
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_attention_factor(ConfigReader& scaling, double factor) {
  const bool has_both = scaling.has("mscale") && scaling.has("mscale_all_dim");
  const double mscale = scaling.positive_number("mscale", 1.0);
  const double mscale_all_dim = scaling.positive_number("mscale_all_dim", 1.0);
  const double inferred = has_both
                              ? yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all_dim)
                              : yarn_mscale(factor, 1.0);
  return scaling.positive_number("attention_factor", inferred);
}

RopeConfig yarn(ConfigReader& scaling, const Rope& rope) {
  const double factor = scaling.positive_number("factor");
  const double beta_fast = scaling.positive_number("beta_fast", 32.0);
  const double beta_slow = scaling.positive_number("beta_slow", 1.0);
  const double original = scaling.positive_number("original_max_position_embeddings",
                                                  static_cast<double>(rope.max_positions));
  const bool truncate = scaling.flag("truncate", true);
  const auto dim = static_cast<double>(rope.rotary_dim);

  // The dimension whose wave turns `rotations` times within the original context.
  const auto correction = [&](double rotations) {
    return dim * std::log(original / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = correction(beta_fast);
  double high = correction(beta_slow);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  RopeConfig result{plain_frequencies(rope), yarn_attention_factor(scaling, factor)};
  double i = 0.0;
  for (double& frequency : result.inverse_frequencies) {
    const double interpolated = std::clamp((i - low) / (high - low), 0.0, 1.0);
    frequency = interpolated * frequency / factor + (1.0 - interpolated) * frequency;
    i += 1.0;
  }
  return result;
}

RopeConfig scaled(ConfigReader& scaling, const Rope& rope) {
  const std::string old_spelling = scaling.text("type", "default");
  const std::string type = scaling.text("rope_type", old_spelling);
  if (type == "default") return {plain_frequencies(rope)};
  if (type == "linear") return linear(scaling, rope);
  if (type == "dynamic") return dynamic(scaling, rope);
  if (type == "llama3") return llama3(scaling, rope);
  if (type == "yarn") return yarn(scaling, rope);
  scaling.fail("rope_type", fmt::format("is \"{}\"", type),
               "this scaling of the rotary embedding is not supported",
               "supported: default, linear, dynamic, llama3, yarn");
}

}  // namespace

RopeConfig read_rope(ConfigReader& config, Index head_dim, Index max_positions,
                     const RopeDefaults& defaults) {
  ConfigReader scaling =
      config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  const double outer_theta = config.positive_number("rope_theta", defaults.theta);
  const double theta = scaling.positive_number("rope_theta", outer_theta);
  const double outer_partial =
      config.positive_number("partial_rotary_factor", defaults.partial_rotary_factor);
  const double partial = scaling.positive_number("partial_rotary_factor", outer_partial);
  if (theta <= 1.0) {
    config.fail("rope_theta", fmt::format("is {}", theta), "a number above 1 is needed",
                "use the model's own config.json");
  }
  const auto rotary_dim = static_cast<Index>(static_cast<double>(head_dim) * partial);
  if (partial > 1.0 || rotary_dim < 2 || rotary_dim % 2 != 0) {
    config.fail("partial_rotary_factor",
                fmt::format("{} of {} dimensions gives {}", partial, head_dim, rotary_dim),
                "an even number of dimensions is rotated", "use the model's own config.json");
  }
  RopeConfig result = scaled(scaling, {theta, rotary_dim, max_positions});
  scaling.refuse_the_rest();
  return result;
}

}  // namespace d2c::model
