#pragma once

#include <string>

#include "regex/regex.hpp"
#include "tokenizer/field.hpp"

namespace d2c::text {

/// Shared by the normalizer and the decoder `Replace`: every match becomes `content`, literally.
class Replacement {
 public:
  Replacement(Regex pattern, std::string content);
  void apply(std::string& text) const;

 private:
  Regex pattern_;
  std::string content_;
};

[[nodiscard]] Replacement read_replacement(const Field& field);

}  // namespace d2c::text
