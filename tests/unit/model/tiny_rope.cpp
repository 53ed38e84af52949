#include "tiny_rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "tiny_names.hpp"

namespace d2c::test {
namespace {

using json::Json;

constexpr double two_pi = 2.0 * std::numbers::pi;

bool has_window(const Json& config) {
  return config.contains("sliding_window") && !config.at("sliding_window").is_null();
}

bool rotates_by_list(const Json& config, Index layer) {
  if (config.contains("no_rope_layers")) {
    return config["no_rope_layers"][static_cast<std::size_t>(layer)] == 1;
  }
  return (layer + 1) % config.value("no_rope_layer_interval", 4) != 0;
}

/// layer_types[layer] == "sliding_attention", with the default of the family's configuration class.
bool slides(const Json& config, Index layer) {
  if (!has_window(config)) return false;
  if (config.contains("layer_types")) {
    return config["layer_types"][static_cast<std::size_t>(layer)] == "sliding_attention";
  }
  const std::string type = type_of(config);
  if (type == "gemma2") return layer % 2 == 0;
  if (type == "gemma3_text") return (layer + 1) % config.value("sliding_window_pattern", 6) != 0;
  if (type == "olmo3") return (layer + 1) % 4 != 0;
  if (type == "exaone4") return (layer + 1) % config.value("sliding_window_pattern", 4) != 0;
  if (type == "smollm3") return is(config, "use_sliding_window") && !rotates_by_list(config, layer);
  if (type == "qwen2" || type == "qwen3") {
    return is(config, "use_sliding_window") && layer >= config.value("max_window_layers", 28);
  }
  return type == "mistral" || type == "ministral3" || type == "phi3";
}

bool rotates(const Json& config, Index layer) {
  const std::string type = type_of(config);
  if (type == "smollm3") return rotates_by_list(config, layer);
  if (type == "exaone4") return !has_window(config) || slides(config, layer);
  if (type == "granitemoehybrid") return config.value("position_embedding_type", "") == "rope";
  return true;
}

/// rope_parameters of a layer, whichever way they are spelled.
Json parameters(const Json& config, Index layer) {
  const bool is_new = config.contains("rope_parameters");
  Json result = config.value(is_new ? "rope_parameters" : "rope_scaling", Json::object());
  if (result.is_null()) result = Json::object();
  double theta = number(config, "rope_theta", 10000.0);
  if (result.contains("full_attention")) {
    result = result[slides(config, layer) ? "sliding_attention" : "full_attention"];
  } else if (is_one_of(config, {"gemma3_text", "olmo3"}) && slides(config, layer)) {
    result = Json::object();
    if (type_of(config) == "gemma3_text") theta = number(config, "rope_local_base_freq", 10000.0);
  }
  if (!result.contains("rope_theta")) result["rope_theta"] = theta;
  if (!result.contains("partial_rotary_factor")) {
    result["partial_rotary_factor"] =
        number(config, "partial_rotary_factor", type_of(config) == "stablelm" ? 0.25 : 1.0);
  }
  return result;
}

double llama3(double f, const Json& scaling) {
  const double factor = scaling.at("factor");
  const double original = scaling.at("original_max_position_embeddings");
  const double low = scaling.at("low_freq_factor");
  const double high = scaling.at("high_freq_factor");
  const double wavelength = two_pi / f;
  if (wavelength > original / low) return f / factor;
  if (wavelength < original / high) return f;
  const double smooth = (original / wavelength - low) / (high - low);
  return (1.0 - smooth) * f / factor + smooth * f;
}

double yarn(double f, double i, double dim, double original, const Json& scaling) {
  const double base = scaling.at("rope_theta");
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(original / (rotations * two_pi)) / (2.0 * std::log(base));
  };
  const bool truncate = scaling.value("truncate", true);
  double low = dimension_of(scaling.value("beta_fast", 32.0));
  double high = dimension_of(scaling.value("beta_slow", 1.0));
  if (truncate) low = std::floor(low);
  if (truncate) high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  const double ramp = std::min(std::max((i / 2.0 - low) / (high - low), 0.0), 1.0);
  return ramp * f / scaling.at("factor").get<double>() + (1.0 - ramp) * f;
}

double attention_factor(const std::string& type, double original, double longest,
                        const Json& scaling) {
  double inferred = 1.0;
  if (type == "yarn") {
    const double factor = scaling.at("factor");
    const auto mscale = [&](double m) { return 0.1 * m * std::log(factor) + 1.0; };
    inferred = scaling.contains("mscale")
                   ? mscale(scaling.at("mscale")) / mscale(scaling.at("mscale_all_dim"))
                   : mscale(1.0);
  }
  if (type == "longrope") {
    const double factor = scaling.value("factor", longest / original);
    inferred = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  }
  return scaling.value("attention_factor", inferred);
}

}  // namespace

std::optional<std::size_t> window_of(const Json& config, Index layer) {
  if (!slides(config, layer)) return std::nullopt;
  return config.at("sliding_window").get<std::size_t>();
}

std::optional<TinyRope> rope_of(const Json& config, Index layer, std::size_t length) {
  if (!rotates(config, layer)) return std::nullopt;
  const Json scaling = parameters(config, layer);
  const auto dim = std::floor(static_cast<double>(Sizes(config).head_dim) *
                              scaling.at("partial_rotary_factor").get<double>());
  std::string type = scaling.value("rope_type", scaling.value("type", "default"));
  if (type_of(config) == "phi3" && (type == "su" || type == "yarn")) type = "longrope";
  const double longest = config.at("max_position_embeddings");
  const double original = number(config, "original_max_position_embeddings",
                                 number(scaling, "original_max_position_embeddings", longest));
  double base = scaling.at("rope_theta");
  if (scaling.contains("alpha")) {
    base *= std::pow(scaling.at("alpha").get<double>(), dim / (dim - 2.0));
  }
  TinyRope rope;
  for (double i = 0.0; i < dim; i += 2.0) {
    double f = 1.0 / std::pow(base, i / dim);
    if (type == "linear") f /= scaling.at("factor").get<double>();
    if (type == "llama3") f = llama3(f, scaling);
    if (type == "yarn") f = yarn(f, i, dim, original, scaling);
    if (type == "longrope") {
      const bool is_long = static_cast<double>(length) > original;
      f /= scaling.at(is_long ? "long_factor" : "short_factor")[static_cast<std::size_t>(i / 2.0)]
               .get<double>();
    }
    rope.inverse_frequencies.push_back(f);
  }
  rope.attention_factor = attention_factor(type, original, longest, scaling);
  return rope;
}

}  // namespace d2c::test
