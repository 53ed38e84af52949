#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "d2c/tensor/matrix.hpp"

namespace d2c::lora {

/// `target_modules` or `exclude_modules` of a PEFT configuration.
struct ModuleSelector {
  enum class Form {
    none,        ///< null
    names,       ///< a list: a module is meant whose name is an entry, or ends in ".entry"
    regex,       ///< a text: a regular expression that must match the whole name
    all_linear,  ///< "all-linear": every linear layer but the output head
  };
  Form form = Form::none;
  std::vector<std::string> names;
  std::string regex;
};

/// The part of adapter_config.json that decides what a LoRA adapter computes.
struct AdapterConfig {
  std::filesystem::path file;  ///< for messages
  std::string base_model;      ///< base_model_name_or_path; may be empty
  Index rank = 8;              ///< r
  double alpha = 8.0;          ///< lora_alpha
  bool use_rslora = false;
  ModuleSelector targets;
  ModuleSelector excluded;
  std::vector<std::int64_t> layers_to_transform;  ///< empty = all layers
  std::vector<std::string> layers_pattern;
  std::vector<std::pair<std::string, Index>> rank_pattern;    ///< in the order of the file
  std::vector<std::pair<std::string, double>> alpha_pattern;  ///< in the order of the file
};

/// Reads the text of an adapter_config.json. Fields that cannot change the computation of a trained
/// adapter are ignored; every other field that is set and is not plain LoRA (another peft_type,
/// DoRA, trained biases or tokens, initialisations that alter the base weights, unknown fields) is
/// refused by name.
/// @param file  for messages
/// @throws InputError with file and field
[[nodiscard]] AdapterConfig parse_adapter_config(std::string_view text,
                                                 const std::filesystem::path& file);

/// Answers for single modules what a configuration says, as PEFT does
/// (check_target_module_exists and get_pattern_key).
class ModuleRules {
 public:
  /// @throws InputError for a regular expression that is not valid
  explicit ModuleRules(const AdapterConfig& config);
  ~ModuleRules();

  /// Whether the module is to be adapted. With `target_modules: null` any module may be.
  [[nodiscard]] bool selects(const std::string& module) const;
  [[nodiscard]] Index rank(const std::string& module) const;
  [[nodiscard]] double alpha(const std::string& module) const;
  /// alpha / rank, or alpha / sqrt(rank) with rsLoRA.
  [[nodiscard]] double scaling(const std::string& module) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::lora
