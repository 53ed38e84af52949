#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/safetensors/reader.hpp"
#include "d2c/safetensors/sharded_reader.hpp"
#include "d2c/safetensors/wrapped_name.hpp"

#include "module_kind.hpp"

namespace d2c::lora {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "base_model.model.";
constexpr const char* other_model = "check that the adapter was trained for this model";
constexpr const char* save_again = "save the adapter again with PEFT";

/// What the name of a tensor says: `base_model.model.<module>.<part>[.<adapter>][.weight]`.
struct TensorKey {
  std::string module;
  std::string_view part;  ///< "lora_A", "lora_embedding_B", ...
  std::string adapter;    ///< name of the adapter inside the key; mostly left out
};

struct Part {
  std::string_view name;
  std::string_view tail;  ///< ending after the optional adapter name
};
constexpr std::array parts = std::to_array<Part>({{"lora_A", ".weight"},
                                                  {"lora_B", ".weight"},
                                                  {"lora_embedding_A", ""},
                                                  {"lora_embedding_B", ""}});

/// Nothing if the name is not that of a LoRA factor.
std::optional<TensorKey> parse_key(std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  for (const Part& part : parts) {
    const std::size_t place = name.rfind(fmt::format(".{}", part.name));
    if (place == std::string_view::npos || place == 0) continue;
    std::string_view rest = name.substr(place + 1 + part.name.size());
    if (!rest.ends_with(part.tail)) continue;
    rest.remove_suffix(part.tail.size());
    if (!rest.empty()) {
      if (rest.front() != '.' || rest.size() == 1) continue;
      rest.remove_prefix(1);
      if (rest.find('.') != std::string_view::npos) continue;
    }
    return TensorKey{std::string(name.substr(0, place)), part.name, std::string(rest)};
  }
  return std::nullopt;
}

/// Whether the last part of a module's name is one that models use for several projections in one.
bool is_fused(std::string_view module) {
  constexpr auto names = std::to_array<std::string_view>(
      {"qkv_proj", "gate_up_proj", "query_key_value", "Wqkv", "W_pack", "c_attn"});
  return std::ranges::find(names, module.substr(module.rfind('.') + 1)) != names.end();
}

/// Tensor names of one module's factors.
struct FactorNames {
  std::string a;
  std::string b;
};

class AdapterReader {
 public:
  AdapterReader(AdapterFiles files, std::span<const TargetModule> base, const fs::path& model)
      : folder_(std::move(files.folder)),
        config_(parse_adapter_config(files.config, folder_ / "adapter_config.json")),
        rules_(config_),
        tensors_(folder_ / "adapter_model.safetensors", std::move(files.tensors)),
        model_(model) {
    for (const TargetModule& module : base) base_.emplace(module.name, &module);
  }

  [[nodiscard]] Adapter read() {
    collect_names();
    check_modules();
    Adapter adapter{folder_, common_dtype(), {}, config_, {}};
    for (const auto& [module, names] : names_) {
      adapter.modules.emplace(module, read_factors(module, names));
      adapter.stored.emplace(
          module, StoredFactors{place_of(names.a), place_of(names.b), rules_.scaling(module)});
    }
    return adapter;
  }

 private:
  [[nodiscard]] StoredMatrix place_of(const std::string& tensor) const {
    const auto& info = tensors_.info(tensor);
    return {info.dtype, info.shape[0], info.shape[1], tensors_.data_begin() + info.begin};
  }

  [[noreturn]] void refuse(std::string tensor, std::string what, std::string why,
                           std::string fix) const {
    throw InputError({tensors_.file(), std::move(tensor)},
                     {std::move(what), std::move(why), std::move(fix)});
  }

  [[noreturn]] void refuse_shape(std::string tensor, Shape expected, std::string why,
                                 std::string fix) const {
    const Shape& found = tensors_.info(tensor).shape;
    throw ShapeMismatch({tensors_.file(), std::move(tensor)},
                        {fmt::format("has shape {}", found), std::move(why), std::move(fix)}, found,
                        std::move(expected));
  }

  void collect_names() {
    std::set<std::string> adapters;
    for (const auto& [name, info] : tensors_.tensors()) {
      refuse_wrapper(name);
      const auto key = parse_key(name);
      if (!key) {
        check_other_tensor(name);
        continue;
      }
      const bool is_embedding = key->part.starts_with("lora_embedding");
      if (is_embedding != (kind_of(key->module) == ModuleKind::embedding)) {
        refuse(name, fmt::format("'{}' are not the factors of this kind of module", key->part),
               "linear layers have lora_A and lora_B, the embedding lora_embedding_A and _B",
               other_model);
      }
      FactorNames& names = names_[key->module];
      std::string& place = key->part.ends_with('A') ? names.a : names.b;
      adapters.insert(key->adapter);
      if (!place.empty() || adapters.size() > 1) {
        refuse(name, "the file holds several adapters",
               fmt::format("names in the keys: '{}'", fmt::join(adapters, "', '")),
               "save each adapter to a folder of its own");
      }
      place = name;
    }
    if (names_.empty())
      refuse({}, "holds no LoRA factors", "there is nothing to apply", save_again);
  }

  /// PEFT finds no module for such names and loads nothing. What a vision-language model calls its
  /// text model is right for that model, and wrong for this one.
  void refuse_wrapper(const std::string& name) const {
    const auto wrapped = safetensors::find_wrapper(name);
    if (!wrapped || base_.contains(module_of(name))) return;
    if (base_.empty() && wrapped->part == "language_model.") return;
    refuse(name, fmt::format("has '{}' in its name, from {}", wrapped->part, wrapped->wrapper),
           "no module of the base model is called so",
           fmt::format("rename the tensors: this one to {}", wrapped->bare));
  }

  static std::string module_of(const std::string& name) {
    const auto key = parse_key(name);
    return key ? key->module : std::string();
  }

  /// A tensor that is no factor: refused, unless it is a copy of base weights.
  void check_other_tensor(const std::string& name) {
    constexpr std::string_view copy_end = ".base_layer.weight";
    std::string_view module = name;
    if (module.starts_with(prefix)) module.remove_prefix(prefix.size());
    for (const std::string_view end : {copy_end, std::string_view(".weight")}) {
      if (!module.ends_with(end)) continue;
      const std::string layer(module.substr(0, module.size() - end.size()));
      if (kind_of(layer) == ModuleKind::linear) continue;
      check_copy(name, layer);
      return;
    }
    const bool is_dora = name.find("lora_magnitude_vector") != std::string::npos;
    refuse(name, "the tensor is not a LoRA factor",
           is_dora ? "it belongs to DoRA, which is not supported"
                   : "only lora_A, lora_B, lora_embedding_A and lora_embedding_B are applied",
           "train a plain LoRA adapter");
  }

  /// The stored embedding or output head `name` must equal the base model's, rounded to its dtype.
  void check_copy(const std::string& name, const std::string& layer) {
    if (!model_.empty() && !weights_) weights_.emplace(model_);
    const auto base_name = weights_ ? base_weight_of(layer) : std::nullopt;
    if (!base_name) {
      refuse(name, "the adapter stores whole weights of the base model",
             "they cannot be compared with the base model here",
             "give the base model, or save the adapter again with save_embedding_layers=False");
    }
    const auto& copy = tensors_.info(name);
    const auto& original = weights_->info(*base_name);
    if (copy.shape != original.shape) {
      refuse_shape(name, original.shape,
                   fmt::format("{} of the base model has {}: the vocabulary was resized",
                               *base_name, original.shape),
                   other_model);
    }
    if (copy.shape.size() != 2 || !is_float(copy.dtype) || !equals_rounded(name, *base_name)) {
      refuse(name, "differs from the base model", "the embedding was trained beside LoRA",
             "train a plain LoRA adapter");
    }
  }

  /// Row by row: an embedding may be larger than all else here.
  [[nodiscard]] bool equals_rounded(const std::string& name, const std::string& base_name) const {
    const auto& copy = tensors_.info(name);
    std::vector<float> expected(static_cast<std::size_t>(copy.shape[1]));
    std::vector<std::byte> rounded(expected.size() * size_of(copy.dtype));
    const std::span<const std::byte> stored = tensors_.bytes(name);
    for (Index row = 0; row < copy.shape[0]; ++row) {
      weights_->read_rows(base_name, row, 1, expected);
      convert_from_float(expected, copy.dtype, rounded);
      const auto begin = static_cast<std::size_t>(row) * rounded.size();
      if (!std::ranges::equal(rounded, stored.subspan(begin, rounded.size()))) return false;
    }
    return true;
  }

  /// Tensor of the base model; tied models store only one of embedding and head.
  [[nodiscard]] std::optional<std::string> base_weight_of(const std::string& layer) const {
    for (const std::string& name : {layer + ".weight", std::string("model.embed_tokens.weight"),
                                    std::string("lm_head.weight")}) {
      if (weights_->contains(name)) return name;
    }
    return std::nullopt;
  }

  void check_modules() const {
    for (const auto& [module, names] : names_) {
      const std::string& present = names.a.empty() ? names.b : names.a;
      if (names.a.empty() || names.b.empty()) {
        refuse(present, "its partner is missing", "an update is the product of A and B",
               save_again);
      }
      if (!base_.empty() && !base_.contains(module)) {
        refuse(names.a, fmt::format("module {} is not in the base model", module),
               is_fused(module) ? "it fuses projections that the base model has apart"
                                : "its update cannot be applied",
               other_model);
      }
      if (!rules_.selects(module)) {
        refuse(names.a, fmt::format("module {} is not selected by the configuration", module),
               "tensors and target_modules must agree", save_again);
      }
    }
    if (config_.targets.form == ModuleSelector::Form::none) return;
    for (const auto& [module, target] : base_) {
      if (rules_.selects(module) && !names_.contains(module)) {
        refuse({}, fmt::format("has no factors for module {}", module),
               "the configuration selects it", save_again);
      }
    }
  }

  [[nodiscard]] DType common_dtype() const {
    DType common = tensors_.info(names_.begin()->second.a).dtype;
    for (const auto& [module, names] : names_) {
      common = common_float(common, tensors_.info(names.a).dtype);
      common = common_float(common, tensors_.info(names.b).dtype);
    }
    return common;
  }

  [[nodiscard]] Factors read_factors(const std::string& module, const FactorNames& names) const {
    Factors factors{tensors_.matrix(names.a), tensors_.matrix(names.b), rules_.scaling(module)};
    const Index rank = rules_.rank(module);
    if (factors.a.rows() != rank) {
      refuse_shape(names.a, {rank, factors.d_in()},
                   fmt::format("{} says rank {}", config_.file.filename().string(), rank),
                   save_again);
    }
    if (factors.b.cols() != rank) {
      refuse_shape(names.b, {factors.d_out(), rank},
                   fmt::format("A has shape {}, so that the last size must be {}",
                               tensors_.info(names.a).shape, rank),
                   save_again);
    }
    for (const auto& [tensor, size] :
         {std::pair(&names.a, factors.d_in()), {&names.b, factors.d_out()}}) {
      if (size > 0) continue;
      refuse(*tensor, fmt::format("has shape {}", tensors_.info(*tensor).shape),
             "a module has inputs and outputs", save_again);
    }
    if (!base_.empty()) check_shape(*base_.at(module), factors, names);
    return factors;
  }

  void check_shape(const TargetModule& target, const Factors& factors,
                   const FactorNames& names) const {
    const auto check = [&](const std::string& tensor, const Shape& expected) {
      if (tensors_.info(tensor).shape == expected) return;
      refuse_shape(
          tensor, expected,
          fmt::format("the module is [{}, {}] in the base model", target.d_out, target.d_in),
          other_model);
    };
    check(names.a, {factors.rank(), target.d_in});
    check(names.b, {target.d_out, factors.rank()});
  }

  fs::path folder_;
  AdapterConfig config_;
  ModuleRules rules_;
  safetensors::Reader tensors_;
  fs::path model_;
  std::optional<safetensors::ShardedReader> weights_;  ///< of model_, once needed
  std::map<std::string, const TargetModule*> base_;
  std::map<std::string, FactorNames> names_;
};

}  // namespace

AdapterFiles read_adapter_files(const fs::path& folder) {
  constexpr std::uint64_t largest_config = std::uint64_t{16} << 20;
  std::string config = read_text(folder / "adapter_config.json", largest_config);
  const fs::path weights = folder / "adapter_model.safetensors";
  std::error_code ignored;
  if (!fs::exists(weights, ignored) && fs::exists(folder / "adapter_model.bin", ignored)) {
    throw InputError({folder / "adapter_model.bin", {}},
                     {"pickled weights are not read", "they can hold code",
                      "save the adapter again with safe_serialization=True"});
  }
  const InputFile file(weights);
  return {folder, std::move(config), file.read(0, file.size())};
}

Adapter read_adapter(const fs::path& folder, std::span<const TargetModule> base,
                     const fs::path& model) {
  return read_adapter(read_adapter_files(folder), base, model);
}

Adapter read_adapter(AdapterFiles files, std::span<const TargetModule> base,
                     const fs::path& model) {
  return AdapterReader(std::move(files), base, model).read();
}

}  // namespace d2c::lora
