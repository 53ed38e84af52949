#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace d2c::text {

/// A construct that has no counterpart in PCRE2, or whose meaning differs there.
class UnsupportedConstruct : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Rewrites a pattern in Oniguruma's syntax so that PCRE2 (UTF, UCP and MULTILINE) gives it the
/// same meaning: \s is the property White_Space, \w is Alphabetic, marks, decimal digits,
/// connector punctuation and the numbers of Latin-1, \h is a hexadecimal digit, \v the vertical
/// tab, a set inside a set is a union, a script name is the script alone. Source: Oniguruma, doc/RE
/// and doc/SYNTAX.md; the classes were compared character by character with the reference
/// tokenizers. Classes have the characters of ICU's version of Unicode.
///
/// @throws UnsupportedConstruct
[[nodiscard]] std::string translate_oniguruma(std::string_view pattern);

}  // namespace d2c::text
