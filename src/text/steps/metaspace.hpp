#pragma once

#include <string>

#include "tokenizer/field.hpp"

namespace d2c::text {

/// Which pieces of a text get the replacement character in front.
enum class PrependScheme { always, first, never };

/// Shared by the pre-tokenizer and the decoder `Metaspace`.
struct Metaspace {
  std::string replacement;  ///< one character, stands for a space
  PrependScheme prepend;
};

[[nodiscard]] Metaspace read_metaspace(const Field& field);

}  // namespace d2c::text
