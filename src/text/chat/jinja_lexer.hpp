#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::text::jinja {

/// A template is malformed, has a construct that is not supported, or refuses its input.
class Error : public std::runtime_error {
 public:
  Error(int line, const std::string& what)
      : std::runtime_error("line " + std::to_string(line) + ": " + what) {}
};

struct Token {
  enum class Kind {
    text,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    string,
    number,
    symbol,
    end
  };
  Kind kind;
  std::string text;  ///< of a string: its value
  int line;          ///< 1-based
};

/// Splits a template into tokens, white space control applied as with trim_blocks and
/// lstrip_blocks. Comments are left out. @throws Error
[[nodiscard]] std::vector<Token> tokenize(std::string_view source);

}  // namespace d2c::text::jinja
