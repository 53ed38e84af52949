#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "tiny_model.hpp"
#include "tiny_names.hpp"
#include "tiny_rope.hpp"

namespace d2c::test {
namespace {

using json::Json;
using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

Vector widen(const Matrix& vector) { return {vector.values().begin(), vector.values().end()}; }

class Twin {
 public:
  Twin(const TinyModel& model, const lora::FactorMap& adapter)
      : config_(model.config), sizes_(config_), names_(config_), model_(model), adapter_(adapter) {}

  [[nodiscard]] const ReferenceInputs& inputs() const { return inputs_; }

  Vector nll(const Ids& ids) {
    length_ = ids.size();
    Rows x;
    const Rows embedding = weight("model.embed_tokens", base_name("model.embed_tokens"), true);
    for (const std::int32_t id : ids) x.push_back(embedding[static_cast<std::size_t>(id)]);
    scale(x, embedding_scale());
    const double residual = number(config_, "residual_multiplier", 1.0);
    for (Index layer = 0; layer < sizes_.layers; ++layer) {
      const auto norm = [&](const std::string& module, const Rows& rows) {
        return module.empty() ? rows : normalise(rows, in_layer(layer, module));
      };
      const Rows h = norm(names_.attention_norm, x);
      Rows y = norm(names_.after_attention, apply(in_layer(layer, names_.o), attention(h, layer)));
      scale(y, residual);
      add(x, y);
      y = norm(names_.after_mlp,
               mlp(is(config_, "use_parallel_residual") ? h : norm(names_.mlp_norm, x), layer));
      scale(y, residual);
      add(x, y);
    }
    x = normalise(x, "model.norm");
    const Rows all_logits = multiply("lm_head", x);
    Vector result;
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
      Vector logits = all_logits[t];
      for (double& logit : logits)
        logit =
            cap(logit / number(config_, "logits_scaling", 1.0), "final_logit_softcapping", 30.0);
      double sum = 0.0;
      for (const double logit : logits) sum += std::exp(logit);
      result.push_back(std::log(sum) - logits[static_cast<std::size_t>(ids[t + 1])]);
    }
    return result;
  }

 private:
  [[nodiscard]] double embedding_scale() const {
    if (!is_gemma(config_)) return number(config_, "embedding_multiplier", 1.0);
    const double exact = std::sqrt(static_cast<double>(sizes_.hidden));
    // BF16 arithmetic goes with BF16 files, to whose type the scale is rounded.
    return model_.bf16_arithmetic ? exact + rounding({exact}).front() : exact;
  }

  /// A soft cap of Gemma 2, whose absence means the default there and none elsewhere, as null does.
  [[nodiscard]] double cap(double x, const std::string& key, double fallback) const {
    const bool is_default = type_of(config_) == "gemma2" && !config_.contains(key);
    const double limit = is_default ? fallback : number(config_, key, 0.0);
    return limit > 0.0 ? limit * std::tanh(x / limit) : x;
  }

  static void scale(Rows& x, double factor) {
    for (Vector& row : x) {
      for (double& value : row) value *= factor;
    }
  }

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
      y[i] += (is_gemma(config_) ? 1.0 + w[i] : w[i]) * (x[i] - mean) / std::sqrt(variance + eps);
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
              bool is_query) const {
    const auto begin = row.begin() + index * sizes_.head_dim;
    Vector x(begin, begin + sizes_.head_dim);
    const std::string norm = is_query ? names_.q_norm : names_.k_norm;
    const bool after = type_of(config_) == "hunyuan_v1_dense";
    if (after) rotate(x, position, layer);
    if (is_one_of(config_, {"olmo2", "olmo3"})) {
      const Vector all = normalise(row, weights_of(layer, norm), {});
      x.assign(all.begin() + index * sizes_.head_dim, all.begin() + (index + 1) * sizes_.head_dim);
    } else if (!norm.empty()) {
      x = normalise(x, weights_of(layer, norm), {});
    } else if (is(config_, "qk_layernorm")) {
      x = normalise(x,
                    weights_of(layer, fmt::format("self_attn.{}_layernorm.norms.{}",
                                                  is_query ? "q" : "k", index)),
                    {});
    }
    if (!after) rotate(x, position, layer);
    if (is_query) {
      const double grown = growth(position);
      for (double& value : x) value *= grown;
    }
    return x;
  }

  Vector weights_of(Index layer, const std::string& module) const {
    return widen(model_.tensors.at(in_layer(layer, module + ".weight")));
  }

  /// Ministral 3's growth of queries.
  [[nodiscard]] double growth(std::size_t position) const {
    const Json scaling = config_.value("rope_parameters", Json::object());
    const double beta = number(scaling, "llama_4_scaling_beta", 0.0);
    const double original = number(scaling, "original_max_position_embeddings", 1.0);
    return 1.0 + beta * std::log(1.0 + std::floor(static_cast<double>(position) / original));
  }

  void rotate(Vector& x, std::size_t position, Index layer) const {
    const auto rope = rope_of(config_, layer, length_);
    if (!rope) return;
    const std::size_t half = rope->inverse_frequencies.size();
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * rope->inverse_frequencies[i];
      const double a = x[i];
      const double b = x[i + half];
      x[i] = rope->attention_factor * (a * std::cos(angle) - b * std::sin(angle));
      x[i + half] = rope->attention_factor * (b * std::cos(angle) + a * std::sin(angle));
    }
  }

  /// Columns [first, first + count).
  static Rows columns(const Rows& x, Index first, Index count) {
    Rows result;
    for (const Vector& row : x) {
      result.emplace_back(row.begin() + first, row.begin() + first + count);
    }
    return result;
  }

  struct Projections {
    Rows q, k, v;
  };
  Projections project(const Rows& h, Index layer) const {
    if (names_.qkv.empty()) {
      return {apply(in_layer(layer, names_.q), h), apply(in_layer(layer, names_.k), h),
              apply(in_layer(layer, names_.v), h)};
    }
    const Rows all = apply(in_layer(layer, names_.qkv), h);
    const Index q = sizes_.heads * sizes_.head_dim;
    const Index kv = sizes_.kv_heads * sizes_.head_dim;
    return {columns(all, 0, q), columns(all, q, kv), columns(all, q + kv, kv)};
  }

  [[nodiscard]] double score_scale() const {
    if (is_gemma(config_)) return 1.0 / std::sqrt(number(config_, "query_pre_attn_scalar", 256.0));
    if (is_one_of(config_, {"granite", "granitemoehybrid"})) {
      return number(config_, "attention_multiplier", 1.0);
    }
    return 1.0 / std::sqrt(static_cast<double>(sizes_.head_dim));
  }

  Rows attention(const Rows& h, Index layer) const {
    const auto [q, k, v] = project(h, layer);
    const Index dim = sizes_.head_dim;
    const std::size_t window = window_of(config_, layer).value_or(h.size());
    Rows out(h.size(), Vector(static_cast<std::size_t>(sizes_.heads * dim)));
    for (Index index = 0; index < sizes_.heads; ++index) {
      const Index kv_index = index / (sizes_.heads / sizes_.kv_heads);
      Rows queries;
      Rows keys;
      for (std::size_t t = 0; t < h.size(); ++t) {
        queries.push_back(head(q[t], index, t, layer, true));
        keys.push_back(head(k[t], kv_index, t, layer, false));
      }
      for (std::size_t t = 0; t < h.size(); ++t) {
        const std::size_t first = t + 1 > window ? t + 1 - window : 0;
        Vector weights;
        double sum = 0.0;
        for (std::size_t j = first; j <= t; ++j) {
          const double score = cap(multiply({queries[t]}, keys[j])[0] * score_scale(),
                                   "attn_logit_softcapping", 50.0);
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
    const std::string name = is_gemma(config_)
                                 ? config_.value("hidden_activation", "gelu_pytorch_tanh")
                                 : config_.at("hidden_act").get<std::string>();
    if (name == "silu") return x / (1.0 + std::exp(-x));
    if (name == "relu") return std::max(x, 0.0);
    if (name == "gelu") return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    const double inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + std::tanh(inner));
  }

  Rows mlp(const Rows& h, Index layer) const {
    Rows gate;
    Rows up;
    if (names_.gate_up.empty()) {
      gate = apply(in_layer(layer, names_.gate), h);
      up = apply(in_layer(layer, names_.up), h);
    } else {
      const Rows both = apply(in_layer(layer, names_.gate_up), h);
      gate = columns(both, 0, sizes_.intermediate);
      up = columns(both, sizes_.intermediate, sizes_.intermediate);
    }
    for (std::size_t t = 0; t < gate.size(); ++t) {
      for (std::size_t i = 0; i < gate[t].size(); ++i) gate[t][i] = activate(gate[t][i]) * up[t][i];
    }
    return apply(in_layer(layer, names_.down), gate);
  }

  const Json& config_;
  Sizes sizes_;
  LayerNames names_;
  const TinyModel& model_;
  const lora::FactorMap& adapter_;
  std::size_t length_ = 0;          ///< of the sequence at hand
  mutable ReferenceInputs inputs_;  ///< of the last call
};

}  // namespace

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
