#include "d2c/lora/model_card.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "d2c/core/json.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::lora {

namespace {

/// Plain where that is one text for every YAML parser, else in the double quotes of JSON.
std::string yaml_text(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '.' || c == '-' || c == '_';
  };
  const bool starts_plain = std::isalpha(static_cast<unsigned char>(text.front())) != 0 ||
                            text.front() == '/' || text.starts_with("./") ||
                            text.starts_with("../");
  constexpr auto words = std::to_array<std::string_view>(
      {"null", "true", "false", "yes", "no", "on", "off", "y", "n"});
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool is_word = std::ranges::find(words, lower) != words.end();
  if (starts_plain && !is_word && std::ranges::all_of(text, is_plain)) return text;
  return json::Json(readable(text)).dump();
}

}  // namespace

std::string card_front_matter(const std::string& base_model) {
  std::string text = "---\nlibrary_name: peft\n";
  if (!base_model.empty()) text += "base_model: " + yaml_text(base_model) + "\n";
  return text + "tags:\n- lora\n- merge\n- d2c\n---\n\n";
}

std::string card_rank(const FactorMap& modules) {
  const Index rank = largest_rank(modules);
  const bool is_padded =
      std::ranges::any_of(modules, [&](const auto& entry) { return entry.second.rank() != rank; });
  return fmt::format("\nRank and alpha: {}, in all modules{}.\n", rank,
                     is_padded ? " (those of lower rank are padded with zeros)" : "");
}

std::string card_cell(std::string_view text) {
  std::string cell;
  for (const char c : readable(text)) {
    if (c == '<') {
      cell += "&lt;";
    } else if (c == '>') {
      cell += "&gt;";
    } else if (c == '&') {
      cell += "&amp;";
    } else {
      if (std::string_view("|\\`*[]!").find(c) != std::string_view::npos) cell += '\\';
      cell += c;
    }
  }
  return cell;
}

std::string card_code(std::string_view text) {
  std::string code = readable(text);
  std::ranges::replace(code, '`', '\'');
  return "`" + code + "`";
}

}  // namespace d2c::lora
