#include "numbers.hpp"

#include <charconv>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::cli {
namespace {

constexpr int most = 1'000'000;

[[noreturn]] void refuse(const std::string& option, const std::string& text) {
  throw UsageError({fmt::format("{} does not take '{}'", option, text), "",
                    "give a number of at least 1, a list like 3,5,8 or a range like 1..12"});
}

int parse_number(const std::string& option, const std::string& text, std::string_view part) {
  int value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error != std::errc() || end != part.data() + part.size() || value > most) {
    refuse(option, text);
  }
  if (value < 1) throw UsageError({option + " must be at least 1", "", ""});
  return value;
}

}  // namespace

std::vector<int> parse_numbers(const std::string& option, const std::string& text) {
  std::set<int> numbers;
  std::istringstream parts(text);
  if (text.empty() || text.back() == ',') refuse(option, text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t dots = part.find("..");
    const int first = parse_number(option, text, std::string_view(part).substr(0, dots));
    const int last = dots == std::string::npos
                         ? first
                         : parse_number(option, text, std::string_view(part).substr(dots + 2));
    if (last < first) refuse(option, text);
    for (int value = first; value <= last; ++value) numbers.insert(value);
  }
  return {numbers.begin(), numbers.end()};
}

}  // namespace d2c::cli
