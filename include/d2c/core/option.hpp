#pragma once

#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "d2c/core/enum_names.hpp"
#include "d2c/core/error.hpp"

/// Options as rows of a table: how a member of a struct is called by users, read, checked, written
/// and explained. Command lines, INI files and JSON are read and written through such rows.
namespace d2c {

/// What the value of an option is in JSON. A list or a number or a word, such as 3..8 or auto, is
/// `mixed`: a number where it is one, else a string.
enum class OptionKind { flag, integer, real, text, mixed };

/// How one member of `Target` is written as text and read from it.
template <class Target>
struct OptionValue {
  OptionKind kind = OptionKind::text;
  std::function<std::string(const Target&)> text;  ///< empty text = not given
  /// @return what is wrong with the text, for a line that begins with the option's name; or nothing
  std::function<std::optional<Message>(Target&, std::string_view text)> set;
  /// What is wrong with a value that was not set by text.
  std::function<std::optional<Message>(const Target&)> check =
      [](const Target&) -> std::optional<Message> { return std::nullopt; };
  std::vector<std::string_view> words = {};  ///< all values, where they are a few words
};

/// A row. The defaults are those of a default-constructed Target.
template <class Target>
struct Option {
  std::string name;  ///< the same on the command line, in INI files and in JSON
  OptionValue<Target> value;
  std::string help;             ///< one line
  std::string value_name = {};  ///< for help texts; empty = arg
};

/// As users write it on the command line.
[[nodiscard]] inline std::string flag_of(std::string_view name) {
  return (name.size() == 1 ? "-" : "--") + std::string(name);
}

/// The values that a number may have.
struct Range {
  double least = std::numeric_limits<double>::lowest();
  double most = std::numeric_limits<double>::max();
  bool above = false;  ///< `least` itself is not taken
  bool below = false;  ///< `most` itself is not taken

  [[nodiscard]] bool holds(double value) const;
  /// " of at least 1", " above 0 and below 1"
  [[nodiscard]] std::string text() const;
};
[[nodiscard]] constexpr Range at_least(double least) { return {.least = least}; }
[[nodiscard]] constexpr Range above(double least) { return {.least = least, .above = true}; }

/// Ways to bind a member.
namespace option {

namespace detail {
[[nodiscard]] Message not_a_number(std::string_view text, bool whole, const Range& range);
[[nodiscard]] Message not_a_word(std::string_view text, const std::vector<std::string_view>& words);
[[nodiscard]] std::string number_text(double value);
}  // namespace detail

template <class Target, class Number>
[[nodiscard]] OptionValue<Target> number(Number Target::*member, Range range = {}) {
  constexpr bool whole = std::is_integral_v<Number>;
  const auto text = [member](const Target& target) {
    if constexpr (whole) return std::to_string(target.*member);
    return detail::number_text(static_cast<double>(target.*member));
  };
  const auto check = [=](const Target& target) -> std::optional<Message> {
    if (range.holds(static_cast<double>(target.*member))) return std::nullopt;
    return detail::not_a_number(text(target), whole, range);
  };
  const auto set = [=](Target& target, std::string_view given) -> std::optional<Message> {
    Number value{};
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (error != std::errc() || end != given.data() + given.size() ||
        !range.holds(static_cast<double>(value))) {
      return detail::not_a_number(given, whole, range);
    }
    target.*member = value;
    return std::nullopt;
  };
  return {whole ? OptionKind::integer : OptionKind::real, text, set, check};
}

/// A member that has one of a few values, each with a word.
template <class Target, class E, std::size_t N>
[[nodiscard]] OptionValue<Target> words(E Target::*member, EnumNames<E, N> names) {
  OptionValue<Target> value{
      OptionKind::text,
      [=](const Target& target) { return std::string(names.name(target.*member)); },
      [=](Target& target, std::string_view given) -> std::optional<Message> {
        const std::optional<E> found = names.find(given);
        if (!found) return detail::not_a_word(given, names.words());
        target.*member = *found;
        return std::nullopt;
      }};
  value.words = names.words();
  return value;
}

/// Yes or no.
template <class Target>
[[nodiscard]] OptionValue<Target> flag(bool Target::*member) {
  auto value = words(member, enum_names<bool>({{true, "true"},
                                               {false, "false"},
                                               {true, "yes"},
                                               {false, "no"},
                                               {true, "on"},
                                               {false, "off"},
                                               {true, "1"},
                                               {false, "0"}}));
  value.kind = OptionKind::flag;
  value.words.clear();
  return value;
}

/// Text of any form.
template <class Target>
[[nodiscard]] OptionValue<Target> text(std::string Target::*member) {
  return {OptionKind::text, [=](const Target& target) { return target.*member; },
          [=](Target& target, std::string_view given) -> std::optional<Message> {
            target.*member = given;
            return std::nullopt;
          }};
}

/// One name of a registry.
template <class Target>
[[nodiscard]] OptionValue<Target> name_among(std::string Target::*member,
                                             const std::vector<std::string_view>& known) {
  auto value = text(member);
  value.set = [=](Target& target, std::string_view given) -> std::optional<Message> {
    for (const std::string_view name : known) {
      if (name != given) continue;
      target.*member = given;
      return std::nullopt;
    }
    return detail::not_a_word(given, known);
  };
  value.words = known;
  return value;
}

/// A path is written as an absolute one, since what is written may be read in another folder.
template <class Target>
[[nodiscard]] OptionValue<Target> path(std::filesystem::path Target::*member) {
  return {OptionKind::text,
          [=](const Target& target) {
            const std::filesystem::path& given = target.*member;
            return given.empty() ? ""
                                 : std::filesystem::absolute(given).lexically_normal().string();
          },
          [=](Target& target, std::string_view given) -> std::optional<Message> {
            target.*member = given;
            return std::nullopt;
          }};
}

/// Texts or paths that are given one after another.
template <class Target, class Item>
[[nodiscard]] OptionValue<Target> list(std::vector<Item> Target::*member) {
  return {OptionKind::text, [](const Target&) { return std::string(); },
          [=](Target& target, std::string_view given) -> std::optional<Message> {
            (target.*member).emplace_back(given);
            return std::nullopt;
          }};
}

/// The value of a struct that is a member of another.
template <class Target, class Part>
[[nodiscard]] OptionValue<Target> inside(Part Target::*part, OptionValue<Part> value) {
  return {value.kind, [=](const Target& target) { return value.text(target.*part); },
          [=](Target& target, std::string_view given) { return value.set(target.*part, given); },
          [=](const Target& target) { return value.check(target.*part); }, value.words};
}

}  // namespace option
}  // namespace d2c
