#pragma once

#include <string>

namespace d2c::lora {

/// What a model card of a merged adapter begins with: the fields that the Hugging Face hub reads.
/// @param base_model  may be empty
[[nodiscard]] std::string card_front_matter(const std::string& base_model);

}  // namespace d2c::lora
