#include "tiny_model.hpp"

#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "d2c/core/rng.hpp"
#include "d2c/safetensors/writer.hpp"

#include "test_support.hpp"

namespace d2c::test {
namespace {

using json::Json;
using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

/// What the twin reads of config.json.
struct Sizes {
  explicit Sizes(const Json& config)
      : hidden(config.at("hidden_size")),
        intermediate(config.at("intermediate_size")),
        layers(config.at("num_hidden_layers")),
        heads(config.at("num_attention_heads")),
        kv_heads(config.value("num_key_value_heads", heads)),
        head_dim(config.value("head_dim", hidden / heads)),
        vocabulary(config.at("vocab_size")) {}
  Index hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary;
};

bool is(const Json& config, const std::string& key) { return config.value(key, false); }
std::string type_of(const Json& config) { return config.at("model_type"); }

Matrix random(Index rows, Index cols, const std::string& name, double centre, double scale) {
  CounterRng rng(7, hash_name(name));
  Matrix result(rows, cols);
  for (float& value : result.values()) value = static_cast<float>(centre + scale * rng.normal());
  return result;
}

std::string in_layer(Index layer, const std::string& module) {
  return fmt::format("model.layers.{}.{}", layer, module);
}

/// Names and sizes [d_out, d_in] of the linear layers of one decoder layer.
std::map<std::string, std::pair<Index, Index>> linear_layers(const Json& config) {
  const Sizes s(config);
  return {{"self_attn.q_proj", {s.heads * s.head_dim, s.hidden}},
          {"self_attn.k_proj", {s.kv_heads * s.head_dim, s.hidden}},
          {"self_attn.v_proj", {s.kv_heads * s.head_dim, s.hidden}},
          {"self_attn.o_proj", {s.hidden, s.heads * s.head_dim}},
          {"mlp.gate_proj", {s.intermediate, s.hidden}},
          {"mlp.up_proj", {s.intermediate, s.hidden}},
          {"mlp.down_proj", {s.hidden, s.intermediate}}};
}

bool has_bias(const Json& config, const std::string& module) {
  const std::string type = type_of(config);
  const bool is_mlp = module.starts_with("mlp");
  const bool is_output = module == "self_attn.o_proj";
  if (type == "llama") return is(config, is_mlp ? "mlp_bias" : "attention_bias");
  if (is_mlp) return false;
  if (type == "qwen2") return !is_output;
  if (type == "qwen3") return is(config, "attention_bias");
  return type == "stablelm" && !is_output && is(config, "use_qkv_bias");
}

// --- the twin ---

Vector widen(const Matrix& vector) { return {vector.values().begin(), vector.values().end()}; }

class Twin {
 public:
  Twin(const TinyModel& model, const lora::FactorMap& adapter)
      : config_(model.config), sizes_(config_), model_(model), adapter_(adapter) {}

  [[nodiscard]] const ReferenceInputs& inputs() const { return inputs_; }

  Vector nll(const Ids& ids) {
    Rows x;
    const Rows embedding = weight("model.embed_tokens", base_name("model.embed_tokens"), true);
    for (const std::int32_t id : ids) x.push_back(embedding[static_cast<std::size_t>(id)]);
    for (Index layer = 0; layer < sizes_.layers; ++layer) {
      const Rows h = normalise(x, in_layer(layer, "input_layernorm"));
      const Rows attended = apply(in_layer(layer, "self_attn.o_proj"), attention(h, layer));
      const bool parallel = is(config_, "use_parallel_residual");
      add(x, attended);
      add(x, mlp(parallel ? h : normalise(x, in_layer(layer, "post_attention_layernorm")), layer));
    }
    x = normalise(x, "model.norm");
    const Rows all_logits = multiply("lm_head", x);
    Vector result;
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
      const Vector& logits = all_logits[t];
      double sum = 0.0;
      for (const double logit : logits) sum += std::exp(logit);
      result.push_back(std::log(sum) - logits[static_cast<std::size_t>(ids[t + 1])]);
    }
    return result;
  }

 private:
  /// With tied embeddings, the stored one of the two.
  std::string base_name(const std::string& module) const {
    if (model_.tensors.contains(module + ".weight")) return module;
    return module == "lm_head" ? "model.embed_tokens" : "lm_head";
  }

  static Rows rows_of(const Matrix& w) {
    Rows result;
    for (Index i = 0; i < w.rows(); ++i) result.emplace_back(w.row(i).begin(), w.row(i).end());
    return result;
  }

  /// W + scaling B A; for an embedding [vocabulary, hidden], W + scaling (B A)^T.
  Rows weight(const std::string& module, const std::string& stored, bool is_embedding) const {
    Rows result = rows_of(model_.tensors.at(stored + ".weight"));
    const auto found = adapter_.find(module);
    if (found == adapter_.end()) return result;
    const lora::Factors& f = found->second;
    for (Index o = 0; o < f.d_out(); ++o) {
      for (Index i = 0; i < f.d_in(); ++i) {
        double delta = 0.0;
        for (Index r = 0; r < f.rank(); ++r) {
          delta += static_cast<double>(f.b(o, r)) * static_cast<double>(f.a(r, i));
        }
        const auto row = static_cast<std::size_t>(is_embedding ? i : o);
        const auto column = static_cast<std::size_t>(is_embedding ? o : i);
        result[row][column] += f.scaling * delta;
      }
    }
    return result;
  }

  static Vector multiply(const Rows& w, const Vector& x) {
    Vector y;
    for (const Vector& row : w) {
      double sum = 0.0;
      for (std::size_t i = 0; i < x.size(); ++i) sum += row[i] * x[i];
      y.push_back(sum);
    }
    return y;
  }

  /// What rounding to BF16 adds to x.
  static Vector rounding(Vector x) {
    for (double& value : x) {
      const double rounded = float_from_bf16(bf16_from_float(static_cast<float>(value)));
      value = rounded - value;
    }
    return x;
  }

  Rows multiply(const std::string& module, const Rows& x) const {
    inputs_[module] = x;
    const Rows w = weight(module, base_name(module), false);
    Rows y;
    for (const Vector& row : x) y.push_back(multiply(w, row));
    if (!model_.bf16_arithmetic) return y;
    const Rows base = rows_of(model_.tensors.at(base_name(module) + ".weight"));
    for (std::size_t t = 0; t < x.size(); ++t) add(y[t], multiply(base, rounding(x[t])));
    return y;
  }

  Rows apply(const std::string& module, const Rows& x) const {
    Rows y = multiply(module, x);
    if (const auto bias = model_.tensors.find(module + ".bias"); bias != model_.tensors.end()) {
      for (Vector& row : y) add(row, widen(bias->second));
    }
    return y;
  }

  static void add(Vector& x, const Vector& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  static void add(Rows& x, const Rows& y) {
    for (std::size_t t = 0; t < x.size(); ++t) add(x[t], y[t]);
  }

  [[nodiscard]] bool has_layer_norm() const { return type_of(config_) == "stablelm"; }

  Vector normalise(const Vector& x, const Vector& w, const Vector& b) const {
    const auto n = static_cast<double>(x.size());
    const double eps = config_.at(has_layer_norm() ? "layer_norm_eps" : "rms_norm_eps");
    double mean = 0.0;
    if (has_layer_norm()) {
      for (const double value : x) mean += value / n;
    }
    double variance = 0.0;
    for (const double value : x) variance += (value - mean) * (value - mean) / n;
    Vector y = b;
    y.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] += w[i] * (x[i] - mean) / std::sqrt(variance + eps);
    }
    return y;
  }

  Rows normalise(const Rows& x, const std::string& module) const {
    const Vector w = widen(model_.tensors.at(module + ".weight"));
    const Vector b = has_layer_norm() ? widen(model_.tensors.at(module + ".bias")) : Vector{};
    Rows y;
    for (const Vector& row : x) y.push_back(normalise(row, w, b));
    return y;
  }

  /// One head of a q or k projection, normalised and rotated.
  Vector head(const Vector& row, Index index, std::size_t position, Index layer,
              const std::string& q_or_k) const {
    const auto begin = row.begin() + index * sizes_.head_dim;
    Vector x(begin, begin + sizes_.head_dim);
    if (type_of(config_) == "qwen3") {
      const std::string name = in_layer(layer, fmt::format("self_attn.{}_norm.weight", q_or_k));
      x = normalise(x, widen(model_.tensors.at(name)), {});
    } else if (is(config_, "qk_layernorm")) {
      const std::string name =
          in_layer(layer, fmt::format("self_attn.{}_layernorm.norms.{}.weight", q_or_k, index));
      x = normalise(x, widen(model_.tensors.at(name)), {});
    }
    const auto [frequencies, factor] = rope();
    const std::size_t half = frequencies.size();
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const double a = x[i];
      const double b = x[i + half];
      x[i] = factor * (a * std::cos(angle) - b * std::sin(angle));
      x[i + half] = factor * (b * std::cos(angle) + a * std::sin(angle));
    }
    return x;
  }

  /// Inverse frequencies and attention factor, in the terms of modeling_rope_utils.py.
  std::pair<Vector, double> rope() const {
    const bool is_new = config_.contains("rope_parameters");
    Json scaling = config_.value(is_new ? "rope_parameters" : "rope_scaling", Json::object());
    if (scaling.is_null()) scaling = Json::object();
    const Json& top = is_new ? scaling : config_;
    const double base = top.at("rope_theta");
    const double fallback = type_of(config_) == "stablelm" ? 0.25 : 1.0;
    const auto dim = static_cast<double>(std::floor(static_cast<double>(sizes_.head_dim) *
                                                    top.value("partial_rotary_factor", fallback)));
    const std::string type = scaling.value("rope_type", scaling.value("type", "default"));
    const double factor = scaling.value("factor", 1.0);
    const double original = scaling.value("original_max_position_embeddings",
                                          config_.at("max_position_embeddings").get<double>());
    constexpr double two_pi = 2.0 * std::numbers::pi;
    double attention_factor = 1.0;
    Vector result;
    for (double i = 0.0; i < dim; i += 2.0) {
      double f = 1.0 / std::pow(base, i / dim);
      if (type == "linear") f /= factor;
      if (type == "llama3") {
        const double low = scaling.at("low_freq_factor");
        const double high = scaling.at("high_freq_factor");
        const double wavelength = two_pi / f;
        if (wavelength > original / low) {
          f /= factor;
        } else if (wavelength >= original / high) {
          const double smooth = (original / wavelength - low) / (high - low);
          f = (1.0 - smooth) * f / factor + smooth * f;
        }
      }
      if (type == "yarn") {
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
        f = ramp * f / factor + (1.0 - ramp) * f;
        const auto mscale = [&](double m) { return 0.1 * m * std::log(factor) + 1.0; };
        attention_factor = scaling.contains("mscale")
                               ? mscale(scaling.at("mscale")) / mscale(scaling.at("mscale_all_dim"))
                               : mscale(1.0);
        attention_factor = scaling.value("attention_factor", attention_factor);
      }
      result.push_back(f);
    }
    return {result, attention_factor};
  }

  /// Tokens that a token of this layer sees.
  [[nodiscard]] std::size_t window(Index layer) const {
    constexpr std::size_t all = 1'000'000;
    const Json window = config_.value("sliding_window", Json());
    if (window.is_null()) return all;
    if (config_.contains("layer_types")) {
      const bool slides =
          config_["layer_types"][static_cast<std::size_t>(layer)] == "sliding_attention";
      return slides ? window.get<std::size_t>() : all;
    }
    if (type_of(config_) == "mistral") return window;
    const bool slides =
        is(config_, "use_sliding_window") && layer >= config_.value("max_window_layers", Index{28});
    return slides ? window.get<std::size_t>() : all;
  }

  Rows attention(const Rows& h, Index layer) const {
    const Rows q = apply(in_layer(layer, "self_attn.q_proj"), h);
    const Rows k = apply(in_layer(layer, "self_attn.k_proj"), h);
    const Rows v = apply(in_layer(layer, "self_attn.v_proj"), h);
    const Index dim = sizes_.head_dim;
    Rows out(h.size(), Vector(static_cast<std::size_t>(sizes_.heads * dim)));
    for (Index index = 0; index < sizes_.heads; ++index) {
      const Index kv_index = index / (sizes_.heads / sizes_.kv_heads);
      Rows queries;
      Rows keys;
      for (std::size_t t = 0; t < h.size(); ++t) {
        queries.push_back(head(q[t], index, t, layer, "q"));
        keys.push_back(head(k[t], kv_index, t, layer, "k"));
      }
      for (std::size_t t = 0; t < h.size(); ++t) {
        const std::size_t first = t + 1 > window(layer) ? t + 1 - window(layer) : 0;
        Vector weights;
        double sum = 0.0;
        for (std::size_t j = first; j <= t; ++j) {
          const double score =
              multiply({queries[t]}, keys[j])[0] / std::sqrt(static_cast<double>(dim));
          weights.push_back(std::exp(score));
          sum += weights.back();
        }
        for (std::size_t j = first; j <= t; ++j) {
          for (Index d = 0; d < dim; ++d) {
            out[t][static_cast<std::size_t>(index * dim + d)] +=
                weights[j - first] / sum * v[j][static_cast<std::size_t>(kv_index * dim + d)];
          }
        }
      }
    }
    return out;
  }

  double activate(double x) const {
    const std::string name = config_.at("hidden_act");
    if (name == "silu") return x / (1.0 + std::exp(-x));
    if (name == "relu") return std::max(x, 0.0);
    if (name == "gelu") return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    const double inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + std::tanh(inner));
  }

  Rows mlp(const Rows& h, Index layer) const {
    Rows gate = apply(in_layer(layer, "mlp.gate_proj"), h);
    const Rows up = apply(in_layer(layer, "mlp.up_proj"), h);
    for (std::size_t t = 0; t < gate.size(); ++t) {
      for (std::size_t i = 0; i < gate[t].size(); ++i) gate[t][i] = activate(gate[t][i]) * up[t][i];
    }
    return apply(in_layer(layer, "mlp.down_proj"), gate);
  }

  const Json& config_;
  Sizes sizes_;
  const TinyModel& model_;
  const lora::FactorMap& adapter_;
  mutable ReferenceInputs inputs_;  ///< of the last call
};

}  // namespace

TinyModel tiny_model(const Json& changes) {
  TinyModel model;
  model.config =
      Json{{"model_type", "llama"},  {"hidden_size", 20},        {"intermediate_size", 28},
           {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
           {"head_dim", 8},          {"vocab_size", 50},         {"max_position_embeddings", 64},
           {"rms_norm_eps", 1e-3},   {"layer_norm_eps", 1e-3},   {"rope_theta", 100.0},
           {"hidden_act", "silu"}};
  model.config.merge_patch(changes);
  const Json& config = model.config;
  // Families differ in what they call the eps.
  model.config.erase(type_of(config) == "stablelm" ? "rms_norm_eps" : "layer_norm_eps");

  const Sizes s(config);
  const auto add = [&](const std::string& name, Index rows, Index cols, double centre,
                       double scale) {
    model.tensors.emplace(name, random(rows, cols, name, centre, scale));
  };
  const auto add_norm = [&](const std::string& module) {
    add(module + ".weight", 1, s.hidden, 1.0, 0.3);
    if (type_of(config) == "stablelm") add(module + ".bias", 1, s.hidden, 0.0, 0.3);
  };
  add("model.embed_tokens.weight", s.vocabulary, s.hidden, 0.0, 1.0);
  add_norm("model.norm");
  if (!is(config, "tie_word_embeddings")) {
    add("lm_head.weight", s.vocabulary, s.hidden, 0.0, 0.4);
  }
  for (Index layer = 0; layer < s.layers; ++layer) {
    add_norm(in_layer(layer, "input_layernorm"));
    if (!is(config, "use_parallel_residual")) {
      add_norm(in_layer(layer, "post_attention_layernorm"));
    }
    for (const auto& [module, size] : linear_layers(config)) {
      const double scale = 1.0 / std::sqrt(static_cast<double>(size.second));
      add(in_layer(layer, module + ".weight"), size.first, size.second, 0.0, scale);
      if (has_bias(config, module)) add(in_layer(layer, module + ".bias"), 1, size.first, 0.0, 0.3);
    }
    if (type_of(config) == "qwen3") {
      add(in_layer(layer, "self_attn.q_norm.weight"), 1, s.head_dim, 1.0, 0.3);
      add(in_layer(layer, "self_attn.k_norm.weight"), 1, s.head_dim, 1.0, 0.3);
    }
    if (is(config, "qk_layernorm")) {
      const auto add_heads = [&](const std::string& q_or_k, Index n_heads) {
        for (Index head = 0; head < n_heads; ++head) {
          add(in_layer(layer, fmt::format("self_attn.{}_layernorm.norms.{}.weight", q_or_k, head)),
              1, s.head_dim, 1.0, 0.3);
        }
      };
      add_heads("q", s.heads);
      add_heads("k", s.kv_heads);
    }
  }
  return model;
}

void write_model(const std::filesystem::path& folder, const TinyModel& model, DType dtype) {
  write_file(folder / "config.json", model.config.dump());
  std::vector<safetensors::TensorToWrite> tensors;
  for (const auto& [name, values] : model.tensors) {
    std::vector<Index> shape{values.rows(), values.cols()};
    const bool is_vector = values.rows() == 1;
    if (is_vector) shape.erase(shape.begin());
    const auto other = model.stored_as.find(name);
    tensors.push_back(
        {name, other == model.stored_as.end() ? dtype : other->second, shape, values.values()});
  }
  safetensors::write(folder / "model.safetensors", tensors);
}

lora::FactorMap tiny_adapter(const TinyModel& model, Index rank) {
  lora::FactorMap adapter;
  const auto add = [&](const std::string& module, Index d_out, Index d_in) {
    lora::Factors factors;
    const double scale = 1.0 / std::sqrt(static_cast<double>(d_in));
    factors.a = random(rank, d_in, module + ".A", 0.0, scale);
    factors.b = random(d_out, rank, module + ".B", 0.0, 0.3);
    factors.scaling = 0.75;
    adapter.emplace(module, std::move(factors));
  };
  const Sizes s(model.config);
  for (Index layer = 0; layer < s.layers; ++layer) {
    for (const auto& [module, size] : linear_layers(model.config)) {
      add(in_layer(layer, module), size.first, size.second);
    }
  }
  add("lm_head", s.vocabulary, s.hidden);
  add("model.embed_tokens", s.hidden, s.vocabulary);
  return adapter;
}

std::vector<double> reference_nll(const TinyModel& model, const Ids& ids,
                                  const lora::FactorMap& adapter) {
  return Twin(model, adapter).nll(ids);
}

ReferenceInputs reference_inputs(const TinyModel& model, const Ids& ids,
                                 const lora::FactorMap& adapter) {
  Twin twin(model, adapter);
  (void)twin.nll(ids);
  return twin.inputs();
}

}  // namespace d2c::test
