#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/safetensors/writer.hpp"

#include "module_kind.hpp"

namespace d2c::lora {
namespace {

namespace fs = std::filesystem;
using json::OrderedJson;

std::string_view leaf(std::string_view module) { return module.substr(module.rfind('.') + 1); }

/// Whole names but for modules that a short name means; ascending.
std::set<std::string> target_modules(const FactorMap& modules, const ShortNames& short_names) {
  std::set<std::string> targets;
  for (const auto& [name, factors] : modules) {
    targets.emplace(short_names.contains(leaf(name)) ? leaf(name) : std::string_view(name));
  }
  return targets;
}

/// adapter_config.json as peft 0.13 writes it: every field, sorted by name, indented by 2.
std::string config_text(const FactorMap& modules, const WriteOptions& options) {
  const Index rank = largest_rank(modules);
  const OrderedJson none = nullptr;
  const OrderedJson config = {
      {"alpha_pattern", OrderedJson::object()},
      {"auto_mapping", none},
      {"base_model_name_or_path",
       options.base_model.empty() ? none : OrderedJson(options.base_model)},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"layer_replication", none},
      {"layers_pattern", none},
      {"layers_to_transform", none},
      {"loftq_config", OrderedJson::object()},
      {"lora_alpha", rank},
      {"lora_dropout", 0.0},
      {"megatron_config", none},
      {"megatron_core", "megatron.core"},
      {"modules_to_save", none},
      {"peft_type", "LORA"},
      {"r", rank},
      {"rank_pattern", OrderedJson::object()},
      {"revision", none},
      {"target_modules", target_modules(modules, options.short_names)},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"use_rslora", false},
  };
  return config.dump(2, ' ', true);
}

/// The matrix times a factor, with zeros in the rows and columns that it lacks.
Matrix padded(const Matrix& matrix, Index rows, Index cols, double scaling) {
  Matrix result(rows, cols);
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j < matrix.cols(); ++j) {
      result(i, j) = static_cast<float>(static_cast<double>(matrix(i, j)) * scaling);
    }
  }
  return result;
}

void write_factors(const fs::path& file, const FactorMap& modules, DType dtype) {
  const Index rank = largest_rank(modules);
  std::vector<Matrix> written;  // keeps what the spans below view
  written.reserve(2 * modules.size());
  std::vector<safetensors::TensorToWrite> tensors;
  for (const auto& [name, factors] : modules) {
    const std::string& module = name;
    const bool is_embedding = kind_of(module) == ModuleKind::embedding;
    const auto add = [&](const char* letter, const Matrix& matrix) {
      const std::string key =
          is_embedding ? fmt::format("base_model.model.{}.lora_embedding_{}", module, letter)
                       : fmt::format("base_model.model.{}.lora_{}.weight", module, letter);
      tensors.push_back({key, dtype, {matrix.rows(), matrix.cols()}, matrix.values()});
    };
    add("A", written.emplace_back(padded(factors.a, rank, factors.d_in(), 1.0)));
    add("B", written.emplace_back(padded(factors.b, factors.d_out(), rank, factors.scaling)));
  }
  safetensors::write(file, tensors, {{"format", "pt"}});
}

/// Before the work of writing.
void refuse_existing(const fs::path& folder) {
  std::error_code ignored;
  const fs::path place = folder.has_filename() ? folder : folder.parent_path();
  if (!fs::exists(fs::symlink_status(place, ignored))) return;
  throw InputError({place}, {"exists already", "an adapter is never overwritten",
                             "remove it or choose another place"});
}

}  // namespace

ShortNames short_names(const FactorMap& modules, std::span<const TargetModule> base) {
  ShortNames names;
  for (const auto& [name, factors] : modules) names.emplace(leaf(name));
  for (const TargetModule& target : base) {
    if (!modules.contains(target.name)) names.erase(std::string(leaf(target.name)));
  }
  return names;
}

ShortNames short_names(const AdapterConfig& config) {
  const bool in_all_layers =
      config.layers_to_transform.empty() && config.excluded.form == ModuleSelector::Form::none;
  if (!in_all_layers) return {};
  ShortNames names;
  for (const std::string& name : config.targets.names) {
    if (leaf(name) == name) names.insert(name);
  }
  return names;
}

void write_adapter(const fs::path& folder, const FactorMap& modules, const WriteOptions& options) {
  D2C_EXPECTS(!modules.empty());
  refuse_existing(folder);
  PendingFolder pending(folder);
  write_text(pending.path() / "adapter_config.json", config_text(modules, options));
  write_factors(pending.path() / "adapter_model.safetensors", modules, options.dtype);
  if (!options.card.empty()) write_text(pending.path() / "README.md", options.card);
  pending.publish();
}

}  // namespace d2c::lora
