#pragma once

#include <string_view>

namespace d2c::lora {

enum class ModuleKind { linear, embedding, head };

/// By the names that all supported model families share.
[[nodiscard]] inline ModuleKind kind_of(std::string_view module) {
  const std::string_view leaf = module.substr(module.rfind('.') + 1);
  if (leaf == "embed_tokens") return ModuleKind::embedding;
  return leaf == "lm_head" ? ModuleKind::head : ModuleKind::linear;
}

}  // namespace d2c::lora
