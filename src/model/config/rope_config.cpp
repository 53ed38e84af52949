#include "config/rope_config.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace d2c::model {
namespace {

struct Rope : RopeDefaults {
  Index rotary_dim;
  Index max_positions;
};

/// The key beside the scaling comes first, then the one in it.
double original_of(ConfigReader& scaling, const Rope& rope) {
  const double inner = scaling.positive_number("original_max_position_embeddings",
                                               static_cast<double>(rope.max_positions));
  return rope.original_positions > 0 ? static_cast<double>(rope.original_positions) : inner;
}

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

/// Another base for any length up to max_position_embeddings.
RopeConfig dynamic_by_alpha(ConfigReader& scaling, Rope rope) {
  // Hunyuan writes them beside alpha; nobody reads them.
  scaling.ignore({"beta_fast", "beta_slow", "mscale", "mscale_all_dim"});
  const auto dim = static_cast<double>(rope.rotary_dim);
  if (rope.rotary_dim <= 2) {
    scaling.fail("alpha", "is given for heads of two dimensions", "the base is undefined there",
                 "use the model's own config.json");
  }
  rope.theta *= std::pow(scaling.positive_number("alpha"), dim / (dim - 2.0));
  return {plain_frequencies(rope), 1.0, rope.max_positions};
}

/// Up to max_position_embeddings tokens the frequencies are the plain ones; beyond, they change
/// with the length of the sequence, which prefixes shared by several sequences cannot follow.
RopeConfig dynamic(ConfigReader& scaling, const Rope& rope) {
  scaling.ignore({"factor", "original_max_position_embeddings"});
  if (rope.knows_alpha && scaling.has("alpha")) return dynamic_by_alpha(scaling, rope);
  return {plain_frequencies(rope), 1.0, rope.max_positions};
}

RopeConfig llama3(ConfigReader& scaling, const Rope& rope) {
  const double factor = scaling.positive_number("factor");
  const double low = scaling.positive_number("low_freq_factor");
  const double high = scaling.positive_number("high_freq_factor");
  if (rope.original_positions == 0 && !scaling.has("original_max_position_embeddings")) {
    (void)scaling.positive_number("original_max_position_embeddings");
  }
  const double original = original_of(scaling, rope);
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
  const double original = original_of(scaling, rope);
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

/// A factor for each frequency: up to the original length those for short sequences, beyond it
/// others.
RopeConfig longrope(ConfigReader& scaling, const Rope& rope) {
  const double original = original_of(scaling, rope);
  RopeConfig result{plain_frequencies(rope)};
  result.long_frequencies = result.inverse_frequencies;
  result.short_until = static_cast<Index>(original);
  const std::size_t n = result.inverse_frequencies.size();
  const auto divide = [&](std::vector<double>& frequencies, const std::string& key) {
    const std::vector<double> factors = scaling.numbers(key);
    if (factors.size() != n || std::ranges::any_of(factors, [](double f) { return !(f > 0.0); })) {
      scaling.fail(key, fmt::format("has {} numbers", factors.size()),
                   fmt::format("{} are needed, one above 0 for each pair of rotated dimensions", n),
                   "use the model's own config.json");
    }
    for (std::size_t i = 0; i < n; ++i) frequencies[i] /= factors[i];
  };
  divide(result.inverse_frequencies, "short_factor");
  divide(result.long_frequencies, "long_factor");
  const double factor =
      scaling.positive_number("factor", static_cast<double>(rope.max_positions) / original);
  const double inferred =
      factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  result.attention_factor = scaling.positive_number("attention_factor", inferred);
  return result;
}

RopeConfig scaled(ConfigReader& scaling, const Rope& rope) {
  const std::string old_spelling = scaling.text("type", "default");
  std::string type = scaling.text("rope_type", old_spelling);
  if (rope.yarn_is_longrope && (type == "su" || type == "yarn")) type = "longrope";
  if (type == "default") return {plain_frequencies(rope)};
  if (type == "linear") return linear(scaling, rope);
  if (type == "dynamic") return dynamic(scaling, rope);
  if (type == "llama3") return llama3(scaling, rope);
  if (type == "yarn") return yarn(scaling, rope);
  if (type == "longrope") return longrope(scaling, rope);
  scaling.fail("rope_type", fmt::format("is \"{}\"", type),
               "this scaling of the rotary embedding is not supported",
               "supported: default, linear, dynamic, llama3, yarn, longrope");
}

/// The defaults with the keys beside a scaling, for where it does not say the same itself.
RopeDefaults read_beside(ConfigReader& config, RopeDefaults defaults) {
  defaults.theta = config.positive_number("rope_theta", defaults.theta);
  defaults.partial_rotary_factor =
      config.positive_number("partial_rotary_factor", defaults.partial_rotary_factor);
  if (config.has("original_max_position_embeddings")) {
    defaults.original_positions = config.positive("original_max_position_embeddings");
  }
  return defaults;
}

RopeConfig read_scaling(const ConfigReader& config, ConfigReader& scaling, RopeSizes sizes,
                        const RopeDefaults& beside) {
  const double theta = scaling.positive_number("rope_theta", beside.theta);
  const double partial =
      scaling.positive_number("partial_rotary_factor", beside.partial_rotary_factor);
  const auto reader_of = [&](const char* key) { return scaling.has(key) ? scaling : config; };
  if (theta <= 1.0) {
    reader_of("rope_theta")
        .fail("rope_theta", fmt::format("is {}", theta), "a number above 1 is needed",
              "use the model's own config.json");
  }
  const auto rotary_dim = static_cast<Index>(static_cast<double>(sizes.head_dim) * partial);
  if (partial > 1.0 || rotary_dim < 2 || rotary_dim % 2 != 0) {
    reader_of("partial_rotary_factor")
        .fail("partial_rotary_factor",
              fmt::format("{} of {} dimensions gives {}", partial, sizes.head_dim, rotary_dim),
              "an even number of dimensions is rotated", "use the model's own config.json");
  }
  Rope rope{beside, rotary_dim, sizes.max_positions};
  rope.theta = theta;
  RopeConfig result = scaled(scaling, rope);
  if (rope.knows_query_growth && scaling.has("llama_4_scaling_beta")) {
    result.query_growth = scaling.positive_number("llama_4_scaling_beta");
    result.query_growth_from = original_of(scaling, rope);
  }
  if (rope.knows_query_growth) scaling.ignore({"max_position_embeddings"});
  scaling.refuse_the_rest();
  return result;
}

ConfigReader scaling_of(ConfigReader& config, const RopeDefaults& defaults) {
  return config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling",
                       defaults.scaling);
}

}  // namespace

RopeConfig read_rope(ConfigReader& config, RopeSizes sizes, const RopeDefaults& defaults) {
  const RopeDefaults beside = read_beside(config, defaults);
  ConfigReader scaling = scaling_of(config, defaults);
  return read_scaling(config, scaling, sizes, beside);
}

TwoRopes read_two_ropes(ConfigReader& config, RopeSizes sizes, const RopeDefaults& global,
                        const std::string& local_theta_key, double local_theta) {
  const RopeDefaults beside = read_beside(config, global);
  RopeDefaults local = beside;
  if (!local_theta_key.empty()) local.theta = config.positive_number(local_theta_key, local_theta);
  ConfigReader scaling = scaling_of(config, global);
  if (scaling.has("full_attention") || scaling.has("sliding_attention")) {
    ConfigReader of_global = scaling.object("full_attention");
    ConfigReader of_local = scaling.object("sliding_attention");
    TwoRopes ropes{read_scaling(config, of_global, sizes, beside),
                   read_scaling(config, of_local, sizes, local)};
    scaling.refuse_the_rest();
    return ropes;
  }
  const bool is_one = config.has("rope_parameters");
  if (is_one && (!local_theta_key.empty() || scaling.text("rope_type", "default") != "default")) {
    config.fail("rope_parameters", "has no full_attention and sliding_attention",
                "layers with a window and those without have positions of their own",
                "write an object for each of the two");
  }
  ConfigReader unscaled = scaling.object("sliding_attention");
  if (is_one) local.theta = scaling.positive_number("rope_theta", local.theta);
  return {read_scaling(config, scaling, sizes, beside),
          read_scaling(config, unscaled, sizes, local)};
}

}  // namespace d2c::model
