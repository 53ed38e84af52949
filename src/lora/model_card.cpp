#include "d2c/lora/model_card.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/lora/adapter.hpp"

namespace d2c::lora {

std::string card_front_matter(const std::string& base_model) {
  std::string text = "---\nlibrary_name: peft\n";
  if (!base_model.empty()) text += "base_model: " + base_model + "\n";
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
  for (const char c : text) {
    if (c == '|' || c == '\\') cell += '\\';
    cell += c == '\n' || c == '\r' ? ' ' : c;
  }
  return cell;
}

}  // namespace d2c::lora
