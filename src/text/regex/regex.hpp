#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/field.hpp"
#include "tokenizer/piece.hpp"

struct pcre2_real_code_8;

namespace d2c::text {

/// A regular expression of a tokenizer.json, with the meaning it has in Oniguruma (the engine of
/// the Python package tokenizers), run by PCRE2.
class Regex {
 public:
  /// @param pattern  in Oniguruma's syntax; a construct that PCRE2 would read differently is
  ///                 translated or refused
  /// @param field    named by the errors
  /// @throws InputError for an invalid or refused pattern
  Regex(std::string_view pattern, const Field& field);

  /// All matches from left to right. An empty match right behind another match is left out.
  [[nodiscard]] std::vector<Range> find_all(std::string_view text) const;

 private:
  std::shared_ptr<const pcre2_real_code_8> code_;
  std::string pattern_;
};

/// `text` as a pattern that matches it and nothing else.
[[nodiscard]] std::string escape_regex(std::string_view text);

/// The field `pattern` of a part: {"Regex": ...} or {"String": ...}.
[[nodiscard]] Regex read_pattern(const Field& field);

}  // namespace d2c::text
