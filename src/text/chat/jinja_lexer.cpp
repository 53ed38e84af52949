#include "chat/jinja_lexer.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "unicode/utf8.hpp"

namespace d2c::text::jinja {
namespace {

using Kind = Token::Kind;

constexpr std::string_view kSpace = " \t\n\r\v\f";

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

/// Line ends become \n, and the last one is dropped, as Jinja does.
std::string with_plain_newlines(std::string_view source) {
  std::string text(source);
  replace_all(text, "\r\n", "\n");
  std::replace(text.begin(), text.end(), '\r', '\n');
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      text();
      if (at_ < source_.size()) tag();
    }
    add(Kind::end, "");
    return std::move(tokens_);
  }

 private:
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void advance(std::size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + count),
                                         '\n'));
    at_ += count;
  }

  [[nodiscard]] bool looking_at(std::string_view text) const {
    return std::string_view(source_).substr(at_).starts_with(text);
  }

  [[nodiscard]] std::size_t next_tag() const {
    std::size_t found = source_.find('{', at_);
    while (found != std::string::npos && found + 1 < source_.size() &&
           std::string_view("{%#").find(source_[found + 1]) == std::string_view::npos) {
      found = source_.find('{', found + 1);
    }
    return found == std::string::npos || found + 1 == source_.size() ? source_.size() : found;
  }

  /// The text before the next tag, without what the tag's white space control takes from its end.
  void text() {
    const std::size_t end = next_tag();
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    const char control = end + 2 < source_.size() ? source_[end + 2] : '\0';
    if (control == '-') {
      text = text.substr(0, text.find_last_not_of(kSpace) + 1);
    } else if (control != '+' && end < source_.size() && source_[end + 1] != '{') {
      text = without_indentation(text);
    }
    if (!text.empty()) add(Kind::text, std::string(text));
    advance(end - at_);
  }

  /// lstrip_blocks: a tag that is alone at the start of its line takes its indentation away.
  [[nodiscard]] std::string_view without_indentation(std::string_view text) const {
    const std::size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !at_line_start_) return text;
    const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    const bool is_blank = text.find_first_not_of(kSpace, start) == std::string_view::npos;
    return is_blank ? text.substr(0, start) : text;
  }

  void tag() {
    const char kind = source_[at_ + 1];
    advance(2);
    if (kind == '#') return comment();
    if (looking_at("-") || (kind == '%' && looking_at("+"))) advance(1);
    const std::string_view end = kind == '{' ? "}}" : "%}";
    add(kind == '{' ? Kind::output_begin : Kind::block_begin, "");
    expression(end);
    add(kind == '{' ? Kind::output_end : Kind::block_end, "");
    close(end);
  }

  void comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) throw Error(line_, "a comment has no end");
    advance(end - at_ - (source_[end - 1] == '-' || source_[end - 1] == '+' ? 1 : 0));
    close("#}");
  }

  /// Passes the end of a tag and the white space that it takes away.
  void close(std::string_view end) {
    const std::size_t start = at_;
    const bool strips = looking_at("-");
    const bool keeps = looking_at("+");
    advance((strips || keeps ? 1 : 0) + end.size());
    if (strips) {
      advance(std::min(source_.find_first_not_of(kSpace, at_), source_.size()) - at_);
    } else if (!keeps && end != "}}" && looking_at("\n")) {
      advance(1);
    }
    at_line_start_ = at_ > start && source_[at_ - 1] == '\n';
  }

  /// The tokens of an expression or statement up to `end`.
  void expression(std::string_view end) {
    int depth = 0;  // of brackets: }} may close two dictionaries
    while (true) {
      advance(std::min(source_.find_first_not_of(kSpace, at_), source_.size()) - at_);
      if (at_ == source_.size()) throw Error(line_, "a tag has no end");
      if (depth == 0 && is_end(end)) return;
      const char c = source_[at_];
      if (c == '\'' || c == '"') {
        string(c);
      } else if (is_name_start(c)) {
        run_of(Kind::name, is_name_part);
      } else if (is_digit(c)) {
        number();
      } else {
        depth += std::string_view("([{").find(c) != std::string_view::npos ? 1 : 0;
        depth -= std::string_view(")]}").find(c) != std::string_view::npos ? 1 : 0;
        symbol();
      }
    }
  }

  [[nodiscard]] bool is_end(std::string_view end) const {
    if (looking_at(end)) return true;
    return (looking_at("-") || (looking_at("+") && end == "%}")) &&
           std::string_view(source_).substr(at_ + 1).starts_with(end);
  }

  void run_of(Kind kind, bool (*belongs)(char)) {
    std::size_t end = at_;
    while (end < source_.size() && belongs(source_[end])) ++end;
    add(kind, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  void number() {
    std::size_t end = at_;
    while (end < source_.size() && is_digit(source_[end])) ++end;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      ++end;
      while (end < source_.size() && is_digit(source_[end])) ++end;
    }
    constexpr std::size_t kMostDigits = 18;
    if (end - at_ > kMostDigits) throw Error(line_, "a number has too many digits");
    add(Kind::number, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  void symbol() {
    static constexpr std::array<std::string_view, 6> kPairs = {"==", "!=", "<=", ">=", "//", "**"};
    for (const auto pair : kPairs) {
      if (looking_at(pair)) {
        add(Kind::symbol, std::string(pair));
        return advance(2);
      }
    }
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(source_[at_]) == std::string_view::npos) {
      throw Error(line_, std::string("the character '") + source_[at_] + "' is not expected");
    }
    add(Kind::symbol, std::string(1, source_[at_]));
    advance(1);
  }

  void string(char quote) {
    std::string value;
    std::size_t at = at_ + 1;
    for (; at < source_.size() && source_[at] != quote; ++at) {
      if (source_[at] == '\\' && at + 1 < source_.size()) {
        at = escape(at, value);
      } else {
        value += source_[at];
      }
    }
    if (at >= source_.size()) throw Error(line_, "a string has no end");
    add(Kind::string, std::move(value));
    advance(at + 1 - at_);
  }

  /// Appends the character that the escape at `at` stands for; returns its last byte.
  std::size_t escape(std::size_t at, std::string& value) const {
    static constexpr std::string_view kLetters = "ntrbfav\\'\"";
    static constexpr std::string_view kValues = "\n\t\r\b\f\a\v\\'\"";
    const char letter = source_[at + 1];
    if (const auto known = kLetters.find(letter); known != std::string_view::npos) {
      value += kValues[known];
      return at + 1;
    }
    const std::size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    const std::string hex = source_.substr(at + 2, digits);
    if (digits == 0 || hex.size() < digits ||
        hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      throw Error(line_, std::string("the escape '\\") + letter + "' is not supported");
    }
    append_character(value, static_cast<char32_t>(std::stoul(hex, nullptr, 16)));
    return at + 1 + digits;
  }

  std::string source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(with_plain_newlines(source)).run();
}

}  // namespace d2c::text::jinja
