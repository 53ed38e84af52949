#pragma once

#include <string>
#include <string_view>

#include "d2c/lora/factors.hpp"

namespace d2c::lora {

/// What a model card of a merged adapter begins with: the fields that the Hugging Face hub reads.
/// @param base_model  may be empty
[[nodiscard]] std::string card_front_matter(const std::string& base_model);

/// The line that tells the rank and alpha of a written adapter (write_adapter).
[[nodiscard]] std::string card_rank(const FactorMap& modules);

/// A text of the user's files as a cell of a table: neither Markdown nor HTML, and on one line.
[[nodiscard]] std::string card_cell(std::string_view text);
/// The same as code in a line of text.
[[nodiscard]] std::string card_code(std::string_view text);

}  // namespace d2c::lora
