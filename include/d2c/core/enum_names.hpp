#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace d2c {

/// The words for a few values, such as those of an enumeration: one table to read and to write
/// them. Where several words mean the same, the first is written.
template <class E, std::size_t N>
struct EnumNames {
  std::array<std::pair<E, std::string_view>, N> rows;

  /// @pre the value has a word
  [[nodiscard]] constexpr std::string_view name(const E& value) const {
    std::size_t i = 0;
    while (!(rows[i].first == value)) ++i;
    return rows[i].second;
  }
  /// Nothing for an unknown word.
  [[nodiscard]] constexpr std::optional<E> find(std::string_view word) const {
    for (const auto& [value, known] : rows) {
      if (known == word) return value;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::vector<std::string_view> words() const {
    std::vector<std::string_view> list;
    for (const auto& row : rows) list.push_back(row.second);
    return list;
  }
};

/// enum_names<Balance>({{Balance::fixed, "static"}, {Balance::dynamic, "dynamic"}})
template <class E, std::size_t N>
[[nodiscard]] constexpr EnumNames<E, N> enum_names(
    const std::pair<E, std::string_view> (&rows)[N]) {
  return {std::to_array(rows)};
}

}  // namespace d2c
