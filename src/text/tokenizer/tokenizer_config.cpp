#include "tokenizer/tokenizer_config.hpp"

#include "tokenizer/field.hpp"

namespace d2c::text {
namespace {

namespace fs = std::filesystem;

/// A token is a text or an object with its text as `content`.
std::optional<std::string> token_text(const Field& field) {
  const json::Json& value = field.value();
  if (value.is_string()) return field.string();
  if (value.is_object() && value.contains("content")) return field.at("content").string();
  return std::nullopt;
}

/// Adds the members that name special tokens: the `..._token`s, and the lists and objects of more.
void add_special_tokens(const Field& root, json::OrderedJson& tokens) {
  for (const auto& [name, value] : root.value().items()) {
    const auto field = root.find(name);
    if (!field) continue;
    if (name.ends_with("_token")) {
      if (const auto text = token_text(*field)) tokens[name] = *text;
    } else if (name == "extra_special_tokens" && value.is_object()) {
      for (const auto& [extra, unused] : value.items()) {
        if (const auto text = token_text(field->at(extra))) tokens[extra] = *text;
      }
    } else if (name == "additional_special_tokens") {
      tokens[name] = json::OrderedJson::array();
      for (const Field& item : field->items()) {
        if (const auto text = token_text(item)) tokens[name].push_back(*text);
      }
    }
  }
}

std::optional<bool> find_flag(const Field& root, const std::string& name) {
  if (!root.find(name)) return std::nullopt;
  return root.boolean(name, false);
}

/// One template, or several by name; a file of its own wins, as in transformers.
void read_chat_templates(const fs::path& folder, const FileTexts& texts, const Field& root,
                         TokenizerConfig& config) {
  const fs::path own_file = folder / "chat_template.jinja";
  config.chat_file = config.file;
  if (texts.exists(own_file)) {
    config.chat_file = own_file;
    config.chat_templates["default"] = texts.read(own_file);
    const fs::path for_tools = folder / "additional_chat_templates" / "tool_use.jinja";
    if (texts.exists(for_tools)) {
      config.chat_templates["tool_use"] = texts.read(for_tools);
    }
    return;
  }
  const auto field = root.find("chat_template");
  if (!field) return;
  if (!field->value().is_array()) {
    config.chat_templates["default"] = field->string();
    return;
  }
  for (const Field& named : field->items()) {
    config.chat_templates[named.at("name").string()] = named.at("template").string();
  }
}

}  // namespace

std::optional<std::string> TokenizerConfig::special_token(const std::string& name) const {
  const auto token = special_tokens.find(name);
  if (token == special_tokens.end() || !token->is_string()) return std::nullopt;
  return token->get<std::string>();
}

TokenizerConfig read_tokenizer_config(const fs::path& folder, const FileTexts& texts) {
  TokenizerConfig config;
  config.file = folder / "tokenizer_config.json";
  const json::Json document = texts.exists(config.file)
                                  ? json::parse(texts.read(config.file), config.file)
                                  : json::Json::object();
  const Field root(document, config.file, "");
  if (!document.is_object()) root.fail({"is not a JSON object", "", "repair the file"});
  add_special_tokens(root, config.special_tokens);
  if (const auto added = root.find("added_tokens_decoder")) {
    if (!added->value().is_object()) added->fail({"must be an object of id: token", "", ""});
    config.added_tokens = added->value();
  }
  const fs::path map_file = folder / "special_tokens_map.json";
  if (!root.find("added_tokens_decoder") && texts.exists(map_file)) {
    const json::Json map = json::parse(texts.read(map_file), map_file);
    add_special_tokens(Field(map, map_file, ""), config.special_tokens);
  }
  if (const auto name = root.find("tokenizer_class")) config.class_name = name->string();
  if (config.class_name.ends_with("Fast")) {
    config.class_name.resize(config.class_name.size() - 4);
  }
  if (root.boolean("split_special_tokens", false)) {
    root.at("split_special_tokens")
        .fail({"is true", "transformers would split special tokens like any other text",
               "set it to false"});
  }
  config.add_bos = find_flag(root, "add_bos_token");
  config.add_eos = find_flag(root, "add_eos_token");
  config.add_prefix_space = find_flag(root, "add_prefix_space");
  read_chat_templates(folder, texts, root, config);
  return config;
}

}  // namespace d2c::text
