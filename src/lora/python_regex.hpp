#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace d2c::lora {

/// A construct that Python's re refuses, or that PCRE2 has no counterpart of.
class UnsupportedConstruct : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Rewrites an expression of Python's re so that PCRE2 (UTF and UCP) gives it the same meaning:
/// {,n} is a quantifier, \Z the very end, \v one character, a set has no [:classes:], and escapes
/// and groups that only PCRE2 knows are refused. Source: the module re in Python's reference.
/// @throws UnsupportedConstruct naming it
[[nodiscard]] std::string translate_python(std::string_view pattern);

}  // namespace d2c::lora
