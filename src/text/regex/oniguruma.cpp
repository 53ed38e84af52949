#include "regex/oniguruma.hpp"

#include <initializer_list>
#include <map>
#include <string>

#include <fmt/format.h>

#include "regex/unicode_class.hpp"

namespace d2c::text {
namespace {

constexpr std::string_view space = R"(\p{White_Space})";

std::string union_of(std::initializer_list<const char*> properties) {
  std::string members;
  for (const char* property : properties) members += members_of(std::string(property));
  return members;
}

std::string word() { return union_of({"Alphabetic", "M", "Nd", "Pc"}); }
/// Unlike [:word:] and \w in a set, \w by itself has the superscripts and fractions of Latin-1 too.
std::string word_escape() { return word() + R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})"; }

constexpr std::string_view hex_digit = "0-9A-Fa-f";
constexpr std::string_view vertical_tab = R"(\x{0B})";

/// One pass over a pattern from left to right.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      if (depth_ == 0) {
        outside_set();
      } else {
        inside_set();
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

  void outside_set() {
    switch (pattern_[at_]) {
      case '\\':
        return escape();
      case '[':
        return open_set();
      case '(':
        return group();
      case '{':
        return interval();
      default:
        return copy(1);
    }
  }

  void inside_set() {
    if (looking_at("\\")) return escape();
    if (looking_at("&&")) refuse("&& in a set");
    if (looking_at("[:")) return posix_bracket();
    if (looking_at("[")) return nested_set();
    if (looking_at("]")) return close_set();
    copy(1);
  }

  void open_set() {
    depth_ = 1;
    copy(1);
    if (looking_at("^")) copy(1);
    if (looking_at("]")) copy(1);  // the first ] is a literal
  }

  /// A set inside a set adds its members.
  void nested_set() {
    if (looking_at("[^")) refuse("[^...] in a set");
    ++at_;
    ++depth_;
  }

  void close_set() {
    --depth_;
    if (depth_ == 0) return copy(1);
    ++at_;
  }

  void posix_bracket() {
    static const std::map<std::string_view, std::string> brackets = {
        {"alnum", union_of({"Alphabetic", "Nd"})},
        {"alpha", union_of({"Alphabetic"})},
        {"digit", union_of({"Nd"})},
        {"lower", union_of({"Lowercase"})},
        {"space", std::string(space)},
        {"upper", union_of({"Uppercase"})},
        {"word", word()},
        {"xdigit", std::string(hex_digit)}};
    const std::size_t end = pattern_.find(":]", at_);
    if (end == std::string_view::npos) return nested_set();
    const auto row = brackets.find(pattern_.substr(at_ + 2, end - at_ - 2));
    if (row == brackets.end()) refuse(pattern_.substr(at_, end + 2 - at_));
    result_ += row->second;
    at_ = end + 2;
  }

  /// Options: Oniguruma's m is PCRE2's s. An option without a group reaches over the alternatives
  /// behind it in Oniguruma but not in PCRE2, which makes no difference at the very start.
  void group() {
    const std::size_t start = at_;
    copy(1);
    if (!looking_at("?")) return;
    const std::size_t end = pattern_.find_first_not_of("imx-", at_ + 1);
    if (end == std::string_view::npos || end == at_ + 1) return copy(1);
    if (pattern_[end] != ':' && pattern_[end] != ')') {
      refuse(pattern_.substr(start, end + 1 - start));
    }
    if (pattern_[end] == ')' && start != 0) refuse(pattern_.substr(start, end + 1 - start));
    for (; at_ < end; ++at_) result_ += pattern_[at_] == 'm' ? 's' : pattern_[at_];
  }

  /// {n,m}: a + behind it repeats in Oniguruma and is possessive in PCRE2; {n}? is optional in
  /// Oniguruma and lazy in PCRE2; {,m} is literal in PCRE2.
  void interval() {
    const std::size_t end = pattern_.find('}', at_);
    const std::string_view inside =
        end == std::string_view::npos ? "" : pattern_.substr(at_ + 1, end - at_ - 1);
    if (inside.empty() || inside.find_first_not_of("0123456789,") != std::string_view::npos) {
      return copy(1);
    }
    const char next = end + 1 < pattern_.size() ? pattern_[end + 1] : '\0';
    const bool is_exact = inside.find(',') == std::string_view::npos;
    if (next == '+' || (next == '?' && is_exact)) refuse(pattern_.substr(at_, end + 2 - at_));
    result_ += inside.front() == ',' ? "{0" : "{";
    result_ += inside;
    result_ += '}';
    at_ = end + 1;
  }

  void escape() {
    if (at_ + 1 == pattern_.size()) return copy(1);
    const char letter = pattern_[at_ + 1];
    switch (letter) {
      case 's':
        return replace(space);
      case 'S':
        return replace(R"(\P{White_Space})");
      case 'w':
        return replace_set(depth_ > 0 ? word() : word_escape());
      case 'W':
        return replace_complement(word_escape());
      case 'd':
        return replace_set(union_of({"Nd"}));
      case 'D':
        return replace(depth_ > 0 ? others_than("Nd") : fmt::format("[{}]", others_than("Nd")));
      case 'h':
        return replace_set(hex_digit);
      case 'H':
        return replace_complement(hex_digit);
      case 'v':
        return replace(vertical_tab);
      case 'b':
      case 'B':
        return boundary(letter == 'b');
      case 'u':
        return code_point();
      case 'p':
      case 'P':
        return property();
      default:
        return copy(2);
    }
  }

  void replace(std::string_view text) {
    result_ += text;
    at_ += 2;
  }

  void replace_set(std::string_view members) {
    replace(depth_ > 0 ? std::string(members) : fmt::format("[{}]", members));
  }

  void replace_complement(std::string_view members) {
    if (depth_ > 0) refuse(std::string(pattern_.substr(at_, 2)) + " in a set");
    replace(fmt::format("[^{}]", members));
  }

  void boundary(bool is_boundary) {
    if (depth_ > 0) return copy(2);  // a backspace
    const std::string members = word_escape();
    replace(is_boundary ? fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", members)
                        : fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", members));
  }

  void code_point() {
    const std::string_view digits = pattern_.substr(at_ + 2, 4);
    if (digits.size() < 4) refuse(pattern_.substr(at_));
    result_ += fmt::format("\\x{{{}}}", digits);
    at_ += 6;
  }

  void property() {
    const std::size_t end = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || end == std::string_view::npos) {
      return copy(2);
    }
    std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    bool negated = pattern_[at_ + 1] == 'P';
    if (name.starts_with("^")) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const std::string property = pcre2_property(name);
    const std::string members = negated ? others_than(property) : members_of(property);
    const bool is_one = members.find('}') + 1 == members.size() && !members.starts_with("\\x");
    result_ += depth_ > 0 || is_one ? members : fmt::format("[{}]", members);
    at_ = end + 1;
  }

  /// PCRE2 knows general categories by their short names only, and takes the bare name of a script
  /// for its extensions.
  static std::string pcre2_property(std::string_view name) {
    static const std::map<std::string_view, std::string_view> categories = {
        {"Letter", "L"}, {"Mark", "M"},      {"Number", "N"}, {"Punctuation", "P"},
        {"Symbol", "S"}, {"Separator", "Z"}, {"Other", "C"}};
    if (const auto row = categories.find(name); row != categories.end()) {
      return std::string(row->second);
    }
    if (name.size() <= 2) return std::string(name);
    std::string script = fmt::format("sc:{}", name);
    return knows_property(script) ? script : std::string(name);
  }

  std::string_view pattern_;
  std::string result_;
  std::size_t at_ = 0;
  int depth_ = 0;  ///< of sets
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace d2c::text
