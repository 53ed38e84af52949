#include <algorithm>
#include <map>
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

/// The rank of most modules; the smaller one of equals.
Index common_rank(const FactorMap& modules) {
  std::map<Index, int> counts;
  for (const auto& [name, factors] : modules) ++counts[factors.rank()];
  return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })
      ->first;
}

/// Ranks that differ from `usual`: one key for all modules of a short name where they agree, else
/// whole names. As a key of PEFT a whole name is a regular expression too; its dots match
/// themselves.
std::map<std::string, Index> rank_pattern(const FactorMap& modules, Index usual) {
  std::map<std::string_view, std::set<Index>> ranks_of_leaf;
  for (const auto& [name, factors] : modules) ranks_of_leaf[leaf(name)].insert(factors.rank());
  std::map<std::string, Index> pattern;
  for (const auto& [name, factors] : modules) {
    if (factors.rank() == usual) continue;
    const bool agree = ranks_of_leaf[leaf(name)].size() == 1;
    pattern.emplace(agree ? leaf(name) : std::string_view(name), factors.rank());
  }
  return pattern;
}

/// Short names where they mean modules of the adapter alone, else whole names; ascending.
std::set<std::string> target_modules(const FactorMap& modules, std::span<const TargetModule> base) {
  std::set<std::string_view> ambiguous;
  for (const TargetModule& target : base) {
    if (!modules.contains(target.name)) ambiguous.insert(leaf(target.name));
  }
  std::set<std::string> targets;
  for (const auto& [name, factors] : modules) {
    const bool is_short = !base.empty() && !ambiguous.contains(leaf(name));
    targets.emplace(is_short ? leaf(name) : std::string_view(name));
  }
  return targets;
}

/// adapter_config.json as peft 0.13 writes it: every field, sorted by name, indented by 2.
std::string config_text(const FactorMap& modules, const WriteOptions& options) {
  const Index rank = common_rank(modules);
  const OrderedJson pattern = rank_pattern(modules, rank);
  const OrderedJson none = nullptr;
  const OrderedJson config = {
      {"alpha_pattern", pattern},
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
      {"rank_pattern", pattern},
      {"revision", none},
      {"target_modules", target_modules(modules, options.base)},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"use_rslora", false},
  };
  return config.dump(2, ' ', true);
}

Matrix scaled(const Matrix& matrix, double scaling) {
  Matrix result = matrix;
  for (float& value : result.values()) {
    value = static_cast<float>(static_cast<double>(value) * scaling);
  }
  return result;
}

void write_factors(const fs::path& file, const FactorMap& modules, DType dtype) {
  std::vector<Matrix> folded;  // keeps what the spans below view
  folded.reserve(modules.size());
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
    folded.push_back(scaled(factors.b, factors.scaling));
    add("A", factors.a);
    add("B", folded.back());
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
