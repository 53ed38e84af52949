#include "d2c/lora/model_card.hpp"

namespace d2c::lora {

std::string card_front_matter(const std::string& base_model) {
  std::string text = "---\nlibrary_name: peft\n";
  if (!base_model.empty()) text += "base_model: " + base_model + "\n";
  return text + "tags:\n- lora\n- merge\n- d2c\n---\n\n";
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
