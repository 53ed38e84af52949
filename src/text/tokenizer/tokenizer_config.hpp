#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "d2c/core/file_texts.hpp"
#include "d2c/core/json.hpp"

namespace d2c::text {

/// What the files beside tokenizer.json say: tokenizer_config.json, special_tokens_map.json (of
/// older models) and the files of chat templates.
struct TokenizerConfig {
  std::filesystem::path file;  ///< tokenizer_config.json
  std::string class_name;      ///< of transformers, without "Fast"; may be empty
  /// The special tokens by their names in transformers ("bos_token"): texts, and the list
  /// additional_special_tokens.
  json::OrderedJson special_tokens = json::OrderedJson::object();
  json::Json added_tokens = json::Json::object();  ///< added_tokens_decoder
  std::optional<bool> add_bos;                     ///< add_bos_token
  std::optional<bool> add_eos;                     ///< add_eos_token
  std::optional<bool> add_prefix_space;
  json::OrderedJson chat_templates = json::OrderedJson::object();  ///< name: text
  std::filesystem::path chat_file;                                 ///< where the templates are from

  [[nodiscard]] std::optional<std::string> special_token(const std::string& name) const;
};

/// Everything is empty where the folder has none of the files.
/// @throws InputError naming file and field
[[nodiscard]] TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder,
                                                    const FileTexts& texts);

}  // namespace d2c::text
