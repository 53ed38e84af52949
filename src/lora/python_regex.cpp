#include "python_regex.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

namespace d2c::lora {
namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// One pass over an expression from left to right.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      switch (pattern_[at_]) {
        case '\\':
          escape(/*in_set=*/false);
          break;
        case '[':
          set();
          break;
        case '(':
          group();
          break;
        case '{':
          brace();
          break;
        case '*':
        case '+':
        case '?':
          copy(1);
          end_quantifier();
          break;
        default:
          copy(1);
      }
    }
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool looking_at(std::string_view text) const {
    return pattern_.substr(at_).starts_with(text);
  }
  void copy(std::size_t count) {
    result_ += pattern_.substr(at_, count);
    at_ += count;
  }
  [[noreturn]] static void refuse(std::string_view construct) {
    throw UnsupportedConstruct(std::string(construct));
  }

  /// A quantifier may be made lazy or possessive, and no more.
  void end_quantifier() {
    if (looking_at("?") || looking_at("+")) copy(1);
    if (looking_at("*") || looking_at("+") || looking_at("?") || quantifier_length() > 0) {
      refuse(fmt::format("{}: a second quantifier", pattern_.substr(at_, 1)));
    }
  }

  /// Length of {n}, {n,}, {,m}, {n,m} or {,} here; 0 where the brace is itself.
  [[nodiscard]] std::size_t quantifier_length() const {
    if (!looking_at("{")) return 0;
    const std::size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos || end == at_ + 1) return 0;
    const std::string_view inside = pattern_.substr(at_ + 1, end - at_ - 1);
    const bool is_count =
        std::ranges::all_of(inside, [](char c) { return is_digit(c) || c == ','; }) &&
        std::ranges::count(inside, ',') <= 1;
    return is_count ? end + 1 - at_ : 0;
  }

  void brace() {
    const std::size_t length = quantifier_length();
    if (length == 0) {
      result_ += "\\{";
      ++at_;
      return;
    }
    result_ += '{';
    ++at_;
    if (looking_at(",")) result_ += '0';
    copy(length - 1);
    end_quantifier();
  }

  void group() {
    constexpr std::array known = std::to_array<std::string_view>(
        {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?P<", "(?P=", "(?("});
    if (looking_at("(*")) refuse("(*");
    if (!looking_at("(?")) return copy(1);
    if (looking_at("(?#")) return copy(std::min(pattern_.find(')', at_), pattern_.size()) - at_);
    for (const std::string_view start : known) {
      if (looking_at(start)) return copy(start.size());
    }
    const std::size_t end = pattern_.find_first_not_of("imsx-", at_ + 2);
    const bool is_scoped = end != std::string_view::npos && pattern_[end] == ':';
    const bool is_global = end != std::string_view::npos && pattern_[end] == ')' && at_ == 0;
    if (!is_scoped && !is_global) refuse(pattern_.substr(at_, 3));
    copy(end - at_);
  }

  void set() {
    copy(1);
    if (looking_at("^")) copy(1);
    if (looking_at("]")) copy(1);  // the first ] is itself
    while (at_ < pattern_.size() && !looking_at("]")) {
      if (looking_at("\\")) {
        escape(/*in_set=*/true);
      } else if (looking_at("[")) {
        result_ += "\\[";
        ++at_;
      } else {
        copy(1);
      }
    }
    if (looking_at("]")) copy(1);
  }

  /// \x41, \u0041 or \U00000041.
  void code_point(std::size_t digits) {
    const std::string_view number = pattern_.substr(at_ + 2, digits);
    const bool is_hex = std::ranges::all_of(
        number, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
    if (number.size() < digits || !is_hex) refuse(pattern_.substr(at_, 2));
    result_ += fmt::format("\\x{{{}}}", number);
    at_ += 2 + digits;
  }

  void escape(bool in_set) {
    if (at_ + 1 == pattern_.size()) return copy(1);
    const char letter = pattern_[at_ + 1];
    const std::string_view same = in_set ? "abdDfnrsStwW" : "abABdDfnrsStwW";
    if (letter == 'x') return code_point(2);
    if (letter == 'u') return code_point(4);
    if (letter == 'U') return code_point(8);
    if (letter == 'v' || (letter == 'Z' && !in_set)) {
      result_ += letter == 'v' ? "\\x{0B}" : "\\z";
      at_ += 2;
      return;
    }
    if (std::isalpha(static_cast<unsigned char>(letter)) != 0 &&
        same.find(letter) == std::string_view::npos) {
      refuse(pattern_.substr(at_, 2));
    }
    copy(2);
  }

  std::string_view pattern_;
  std::string result_;
  std::size_t at_ = 0;
};

}  // namespace

std::string translate_python(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace d2c::lora
