#include "tiny_model.hpp"

#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "d2c/core/rng.hpp"
#include "d2c/safetensors/writer.hpp"

#include "test_support.hpp"
#include "tiny_names.hpp"

namespace d2c::test {
namespace {

using json::Json;

Matrix random(Index rows, Index cols, const std::string& name, double centre, double scale) {
  CounterRng rng(7, hash_name(name));
  Matrix result(rows, cols);
  for (float& value : result.values()) value = static_cast<float>(centre + scale * rng.normal());
  return result;
}

/// Names and sizes [d_out, d_in] of the linear layers of one decoder layer.
std::map<std::string, std::pair<Index, Index>> linear_layers(const Json& config) {
  const Sizes s(config);
  const LayerNames names(config);
  const Index q = s.heads * s.head_dim;
  const Index kv = s.kv_heads * s.head_dim;
  std::map<std::string, std::pair<Index, Index>> layers{{names.o, {s.hidden, q}},
                                                        {names.down, {s.hidden, s.intermediate}}};
  if (names.qkv.empty()) {
    layers[names.q] = {q, s.hidden};
    layers[names.k] = {kv, s.hidden};
    layers[names.v] = {kv, s.hidden};
  } else {
    layers[names.qkv] = {q + 2 * kv, s.hidden};
  }
  if (names.gate_up.empty()) {
    layers[names.gate] = {s.intermediate, s.hidden};
    layers[names.up] = {s.intermediate, s.hidden};
  } else {
    layers[names.gate_up] = {2 * s.intermediate, s.hidden};
  }
  return layers;
}

bool has_bias(const Json& config, const std::string& module) {
  const std::string type = type_of(config);
  const bool is_mlp = module.starts_with("mlp");
  const bool is_output = module == "self_attn.o_proj";
  if (is_mlp) return is(config, "mlp_bias");
  if (type == "qwen2") return !is_output;
  if (type == "stablelm") return !is_output && is(config, "use_qkv_bias");
  return is(config, "attention_bias");
}

/// Norms of q and k of one layer, with the sizes of their weights.
std::map<std::string, Index> head_norms(const Json& config) {
  const Sizes s(config);
  const LayerNames names(config);
  if (is(config, "qk_layernorm")) {
    std::map<std::string, Index> result;
    for (Index head = 0; head < s.heads; ++head) {
      result[fmt::format("self_attn.q_layernorm.norms.{}", head)] = s.head_dim;
    }
    for (Index head = 0; head < s.kv_heads; ++head) {
      result[fmt::format("self_attn.k_layernorm.norms.{}", head)] = s.head_dim;
    }
    return result;
  }
  if (names.q_norm.empty()) return {};
  const bool joint = is_one_of(config, {"olmo2", "olmo3"});
  return {{names.q_norm, joint ? s.heads * s.head_dim : s.head_dim},
          {names.k_norm, joint ? s.kv_heads * s.head_dim : s.head_dim}};
}

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
  const double norm_centre = is_gemma(config) ? 0.0 : 1.0;
  const auto add_norm = [&](const std::string& module) {
    add(module + ".weight", 1, s.hidden, norm_centre, 0.3);
    if (type_of(config) == "stablelm") add(module + ".bias", 1, s.hidden, 0.0, 0.3);
  };
  // A scaled embedding keeps the size that the others have.
  const double size = is_gemma(config) ? 1.0 / std::sqrt(static_cast<double>(s.hidden)) : 1.0;
  add("model.embed_tokens.weight", s.vocabulary, s.hidden, 0.0, size);
  add_norm("model.norm");
  if (!is_tied(config)) add("lm_head.weight", s.vocabulary, s.hidden, 0.0, 0.4);
  for (Index layer = 0; layer < s.layers; ++layer) {
    for (const std::string& norm : LayerNames(config).norms()) add_norm(in_layer(layer, norm));
    for (const auto& [module, shape] : linear_layers(config)) {
      const double scale = 1.0 / std::sqrt(static_cast<double>(shape.second));
      add(in_layer(layer, module + ".weight"), shape.first, shape.second, 0.0, scale);
      if (has_bias(config, module)) {
        add(in_layer(layer, module + ".bias"), 1, shape.first, 0.0, 0.3);
      }
    }
    for (const auto& [norm, n] : head_norms(config)) {
      add(in_layer(layer, norm + ".weight"), 1, n, norm_centre, 0.3);
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

model::Model load(const TinyModel& model, DType dtype, ops::WeightFormat format,
                  ops::Arithmetic compute) {
  const TempFolder folder;
  write_model(folder.path(), model, dtype);
  return model::Model(folder.path(), format, std::make_shared<model::HeapStorage>(), compute);
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

}  // namespace d2c::test
