#pragma once

#include <compare>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "d2c/core/id.hpp"

namespace d2c {

/// One value for each thing of a kind; only an id of that kind finds one.
template <class I, class T>
class IdVector {
 public:
  using value_type = T;

  IdVector() = default;
  explicit IdVector(int n) : values_(static_cast<std::size_t>(n)) {}
  IdVector(int n, const T& value) : values_(static_cast<std::size_t>(n), value) {}
  IdVector(std::initializer_list<T> values) : values_(values) {}
  // NOLINTNEXTLINE(google-explicit-constructor): values in the order of their ids
  IdVector(std::vector<T> values) : values_(std::move(values)) {}

  [[nodiscard]] T& operator[](I id) { return values_[id.index()]; }
  [[nodiscard]] const T& operator[](I id) const { return values_[id.index()]; }

  [[nodiscard]] IdRange<I> ids() const { return IdRange<I>(n()); }
  [[nodiscard]] int n() const { return static_cast<int>(values_.size()); }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] bool empty() const { return values_.empty(); }

  [[nodiscard]] auto begin() { return values_.begin(); }
  [[nodiscard]] auto end() { return values_.end(); }
  [[nodiscard]] auto begin() const { return values_.begin(); }
  [[nodiscard]] auto end() const { return values_.end(); }
  [[nodiscard]] const T& back() const { return values_.back(); }
  [[nodiscard]] T& back() { return values_.back(); }
  [[nodiscard]] T* data() { return values_.data(); }
  [[nodiscard]] const T* data() const { return values_.data(); }

  void push_back(T value) { values_.push_back(std::move(value)); }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    return values_.emplace_back(std::forward<Args>(args)...);
  }
  void resize(std::size_t n) { values_.resize(n); }
  void resize(std::size_t n, const T& value) { values_.resize(n, value); }
  void clear() { values_.clear(); }

  /// In the order of their ids.
  [[nodiscard]] const std::vector<T>& values() const& { return values_; }
  [[nodiscard]] std::vector<T> values() && { return std::move(values_); }
  // NOLINTNEXTLINE(google-explicit-constructor): as above
  operator const std::vector<T>&() const { return values_; }

  friend bool operator==(const IdVector&, const IdVector&) = default;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 of a comparison for a pointer
  friend auto operator<=>(const IdVector&, const IdVector&) = default;

 private:
  std::vector<T> values_;
};

/// Ids as plain numbers, for files.
template <class Ids>
void append_numbers(const Ids& ids, std::vector<int>& numbers) {
  for (const auto id : ids) numbers.push_back(id.value());
}
template <class Ids>
[[nodiscard]] std::vector<int> numbers_of(const Ids& ids) {
  std::vector<int> numbers;
  append_numbers(ids, numbers);
  return numbers;
}

/// The reverse.
template <class I>
[[nodiscard]] std::vector<I> ids_of(std::span<const int> numbers) {
  std::vector<I> ids;
  ids.reserve(numbers.size());
  for (const int number : numbers) ids.push_back(I(number));
  return ids;
}

/// One value for each pair of things.
template <class Row, class Column, class T = double>
struct IdMatrix {
  int n_rows = 0;
  int n_columns = 0;
  std::vector<T> values;  ///< [n_rows, n_columns]

  IdMatrix() = default;
  IdMatrix(int rows, int columns, const T& value = T())
      : n_rows(rows),
        n_columns(columns),
        values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), value) {}

  [[nodiscard]] IdRange<Row> rows() const { return ids<Row>(n_rows); }
  [[nodiscard]] IdRange<Column> columns() const { return ids<Column>(n_columns); }

  [[nodiscard]] T& operator()(Row row, Column column) { return values[place(row, column)]; }
  [[nodiscard]] const T& operator()(Row row, Column column) const {
    return values[place(row, column)];
  }
  [[nodiscard]] std::span<T> row(Row row) {
    return std::span(values).subspan(place(row, 0), width());
  }
  [[nodiscard]] std::span<const T> row(Row row) const {
    return std::span(values).subspan(place(row, 0), width());
  }

 private:
  [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(n_columns); }
  [[nodiscard]] std::size_t place(Row row, Column column) const {
    return row.index() * width() + column.index();
  }
};

}  // namespace d2c
