#include "d2c/lora/config.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::lora {
namespace {

using Json = json::OrderedJson;  // rank_pattern and alpha_pattern: the first key that matches wins

constexpr const char* train_plain = "train a plain LoRA adapter";

struct Refusal {
  std::string_view field;
  const char* why;
};

/// Fields of PEFT's LoraConfig that make it something else than W + scaling * B A when set.
constexpr std::array refused_fields = std::to_array<Refusal>({
    {"use_dora", "DoRA rescales the columns of the adapted weight"},
    {"lora_bias", "the adapter has trained biases"},
    {"modules_to_save", "whole modules were trained beside LoRA"},
    {"trainable_token_indices", "embeddings of single tokens were trained beside LoRA"},
    {"target_parameters", "LoRA on parameters that are no modules is not supported"},
    {"layer_replication", "the adapter is for a model with repeated layers"},
    {"fan_in_fan_out", "the adapter is for a model that stores its weights transposed"},
    {"megatron_config", "the adapter is for Megatron's parallel layers"},
    {"use_qalora", "QA-LoRA pools the input of A"},
    {"alora_invocation_tokens", "activated LoRA applies only after its invocation tokens"},
    {"use_bdlora", "BD-LoRA has block-diagonal factors"},
    {"arrow_config", "Arrow mixes adapters per token"},
    {"kasa_config", "KaSA truncates the base weights and adds a diagonal factor"},
    {"monteclora_config", "MonteCLoRA samples its factors"},
    {"ensure_weight_tying", "one adapter is shared by the embedding and the output head"},
});

/// Fields read here, or without effect on what a trained adapter computes. The configs of
/// initialisations count among the latter: the initialisations that matter are refused by
/// init_lora_weights.
constexpr std::array known_fields = std::to_array<std::string_view>({
    "alpha_pattern",     "auto_mapping",   "base_model_name_or_path", "bias",
    "corda_config",      "eva_config",     "exclude_modules",         "inference_mode",
    "init_lora_weights", "layers_pattern", "layers_to_transform",     "loftq_config",
    "lora_alpha",        "lora_dropout",   "lora_ga_config",          "megatron_core",
    "peft_type",         "peft_version",   "qalora_group_size",       "r",
    "rank_pattern",      "revision",       "runtime_config",          "target_modules",
    "task_type",         "use_rslora",     "velora_config",
});

/// Initialisations that start from the unchanged base weights. The others (PiSSA, OLoRA, CorDA,
/// LoRA-GA, LoftQ) subtract their start from the base weights, so that the saved factors fit only
/// that changed base; PEFT writes `true` here once such an adapter is converted to plain LoRA.
constexpr std::array harmless_initialisations =
    std::to_array<std::string_view>({"gaussian", "eva", "orthogonal", "mica"});

/// Python's truth value.
bool is_set(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0.0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

class ConfigReader {
 public:
  ConfigReader(const Json& json, const std::filesystem::path& file) : json_(json), file_(file) {}

  [[nodiscard]] AdapterConfig read() const {
    refuse_other_methods();
    AdapterConfig config;
    config.file = file_;
    config.base_model = text("base_model_name_or_path");
    if (const Json* value = find("r")) config.rank = as_rank(*value, "r");
    if (const Json* value = find("lora_alpha")) config.alpha = as_alpha(*value, "lora_alpha");
    config.use_rslora = flag("use_rslora");
    config.targets = selector("target_modules");
    if (is_all_linear(config.targets.regex)) config.targets.form = ModuleSelector::Form::all_linear;
    config.excluded = selector("exclude_modules");
    config.layers_to_transform = layers();
    config.layers_pattern = texts("layers_pattern");
    config.rank_pattern = pattern<Index>("rank_pattern", &ConfigReader::as_rank);
    config.alpha_pattern = pattern<double>("alpha_pattern", &ConfigReader::as_alpha);
    if (config.targets.form == ModuleSelector::Form::regex && !config.layers_to_transform.empty()) {
      refuse("layers_to_transform", "cannot be used when target_modules is a text",
             "PEFT refuses the pair", "name the layers in the expression");
    }
    return config;
  }

 private:
  [[noreturn]] void refuse(std::string field, std::string what, std::string why,
                           std::string fix = "repair the configuration") const {
    throw InputError({file_, std::move(field)}, {std::move(what), std::move(why), std::move(fix)});
  }

  /// The value of a field; null counts as absent.
  [[nodiscard]] const Json* find(const char* field) const {
    const auto found = json_.find(field);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  void refuse_other_methods() const {
    if (!json_.is_object()) refuse({}, "is not a JSON object", "it must be a PEFT configuration");
    const std::string type = text("peft_type");
    if (type != "LORA") {
      refuse("peft_type", type.empty() ? "is missing" : fmt::format("{} is not supported", type),
             "only LORA adapters can be evaluated and merged",
             type.empty() ? "repair the configuration"
                          : "convert it with peft.save_as_lora, where peft can, or train a LoRA");
    }
    for (const auto& [field, why] : refused_fields) {
      const auto found = json_.find(field);
      if (found != json_.end() && is_set(*found)) {
        refuse(std::string(field), fmt::format("{} is not supported", shown(*found)), why,
               train_plain);
      }
    }
    if (const std::string bias = text("bias"); !bias.empty() && bias != "none") {
      refuse("bias", fmt::format("'{}' is not supported", bias), "the adapter has trained biases",
             train_plain);
    }
    refuse_initialisations();
    for (const auto& [field, value] : json_.items()) {
      const bool known =
          std::ranges::find(known_fields, field) != known_fields.end() ||
          std::ranges::find(refused_fields, field, &Refusal::field) != refused_fields.end();
      if (!known && is_set(value)) {
        refuse(field, fmt::format("{} is not known", shown(value)),
               "an unknown field may change what the adapter computes",
               "remove the field if it does not");
      }
    }
  }

  void refuse_initialisations() const {
    const Json* value = find("init_lora_weights");
    if (value == nullptr || value->is_boolean()) return;
    const std::string name = text("init_lora_weights");
    if (std::ranges::find(harmless_initialisations, name) != harmless_initialisations.end()) return;
    refuse("init_lora_weights", fmt::format("'{}' is not supported", name),
           "it alters the base weights, which this adapter would need",
           "convert the adapter: save_pretrained with path_initial_model_for_weight_conversion");
  }

  static bool is_all_linear(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text == "all-linear";
  }

  static std::string shown(const Json& value) {
    std::string text = value.dump();
    if (text.size() > 60) text.replace(57, std::string::npos, "...");
    return text;
  }

  [[nodiscard]] std::string text(const char* field) const {
    const Json* value = find(field);
    if (value == nullptr) return {};
    if (!value->is_string()) refuse(field, fmt::format("{} is not text", shown(*value)), "");
    return value->get<std::string>();
  }

  [[nodiscard]] bool flag(const char* field) const {
    const Json* value = find(field);
    if (value == nullptr) return false;
    if (!value->is_boolean()) {
      refuse(field, fmt::format("{} is neither true nor false", shown(*value)), "");
    }
    return value->get<bool>();
  }

  /// A list of texts, or one text.
  [[nodiscard]] std::vector<std::string> texts(const char* field) const {
    const Json* value = find(field);
    if (value == nullptr) return {};
    if (value->is_string()) return {value->get<std::string>()};
    std::vector<std::string> result;
    if (!value->is_array()) refuse(field, fmt::format("{} is not a list", shown(*value)), "");
    for (const Json& entry : *value) {
      if (!entry.is_string()) refuse(field, fmt::format("{} is not text", shown(entry)), "");
      result.push_back(entry.get<std::string>());
    }
    return result;
  }

  [[nodiscard]] ModuleSelector selector(const char* field) const {
    ModuleSelector result;
    const Json* value = find(field);
    if (value == nullptr) return result;
    result.names = texts(field);
    result.form = ModuleSelector::Form::names;
    if (!value->is_string()) return result;
    result.regex = result.names.front();
    result.names.clear();
    result.form = ModuleSelector::Form::regex;
    return result;
  }

  [[nodiscard]] std::vector<std::int64_t> layers() const {
    constexpr const char* field = "layers_to_transform";
    const Json* value = find(field);
    if (value == nullptr) return {};
    const Json list = value->is_array() ? *value : Json::array({*value});
    std::vector<std::int64_t> result;
    for (const Json& entry : list) {
      const bool fits =
          entry.is_number_integer() &&
          (!entry.is_number_unsigned() || std::in_range<std::int64_t>(entry.get<std::uint64_t>()));
      if (!fits) {
        refuse(field, fmt::format("{} is not a layer number", shown(entry)), "");
      }
      result.push_back(entry.get<std::int64_t>());
    }
    return result;
  }

  [[nodiscard]] Index as_rank(const Json& value, const std::string& field) const {
    constexpr Index limit = 1 << 20;
    if (!value.is_number_integer() || value.get<Index>() < 1 || value.get<Index>() > limit) {
      refuse(field, fmt::format("{} is not a rank", shown(value)),
             fmt::format("a rank is a whole number from 1 to {}", limit));
    }
    return value.get<Index>();
  }

  [[nodiscard]] double as_alpha(const Json& value, const std::string& field) const {
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      refuse(field, fmt::format("{} is not a number", shown(value)), "it scales the update");
    }
    return value.get<double>();
  }

  template <class Value>
  [[nodiscard]] std::vector<std::pair<std::string, Value>> pattern(
      const char* field,
      Value (ConfigReader::*convert)(const Json&, const std::string&) const) const {
    std::vector<std::pair<std::string, Value>> result;
    const Json* object = find(field);
    if (object == nullptr) return result;
    if (!object->is_object()) refuse(field, fmt::format("{} is not an object", shown(*object)), "");
    for (const auto& [key, value] : object->items()) {
      result.emplace_back(key, (this->*convert)(value, fmt::format("{}['{}']", field, key)));
    }
    return result;
  }

  const Json& json_;
  const std::filesystem::path& file_;
};

/// The members of an ordered object are looked up one after the other, whatever it stands in.
/// @param field  of the configuration; empty = all of it
void check_size(const json::Json& value, const std::string& field,
                const std::filesystem::path& file) {
  constexpr std::size_t most = 10'000;
  if (!value.is_structured()) return;
  if (value.is_object() && value.size() > most) {
    throw InputError({file, field},
                     {fmt::format("has {} entries, more than {}", value.size(), most),
                      "no model has so many modules", "repair the configuration"});
  }
  for (const auto& [key, member] : value.items()) {
    check_size(member, field.empty() ? key : field, file);
  }
}

}  // namespace

AdapterConfig parse_adapter_config(std::string_view text, const std::filesystem::path& file) {
  // Errors with place; refuses duplicate keys.
  check_size(json::parse(text, file), {}, file);
  const Json json = Json::parse(text);
  AdapterConfig config = ConfigReader(json, file).read();
  static_cast<void>(ModuleRules(config));  // its expressions must be valid
  return config;
}

}  // namespace d2c::lora
