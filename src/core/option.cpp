#include "d2c/core/option.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace d2c {

bool Range::holds(double value) const {
  if (!std::isfinite(value)) return false;
  return (above ? value > least : value >= least) && (below ? value < most : value <= most);
}

std::string Range::text() const {
  const Range all;
  std::string text;
  if (least > all.least) text = fmt::format(" {} {:g}", above ? "above" : "of at least", least);
  if (most < all.most) {
    text +=
        fmt::format("{} {} {:g}", text.empty() ? "" : " and", below ? "below" : "at most", most);
  }
  return text;
}

namespace option::detail {

Message not_a_number(std::string_view text, bool whole, const Range& range) {
  return {fmt::format("does not take '{}'", text),
          fmt::format("it is a {}number{}", whole ? "whole " : "", range.text()), ""};
}

Message not_a_word(std::string_view text, const std::vector<std::string_view>& words) {
  return {fmt::format("does not take '{}'", text), "that is none of its values",
          fmt::format("give one of: {}", fmt::join(words, ", "))};
}

std::string number_text(double value) { return fmt::format("{}", value); }

}  // namespace option::detail
}  // namespace d2c
