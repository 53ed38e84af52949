#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>

#include <fmt/core.h>

namespace d2c {

/// The number of a thing of one kind, from 0. Ids of different kinds do not mix, and a variable
/// becomes one only explicitly; a number written in the source is an id of the kind that is wanted.
template <class Tag>
class Id {
 public:
  using difference_type = std::ptrdiff_t;

  constexpr Id() = default;
  explicit constexpr Id(int value) : value_(value) {}
  explicit constexpr Id(std::size_t index) : value_(static_cast<int>(index)) {}
  template <std::same_as<int> Literal>
  // NOLINTNEXTLINE(google-explicit-constructor): for numbers that are written in the source
  consteval Id(Literal value) : value_(value) {}

  /// Stands for the lack of a thing.
  [[nodiscard]] static constexpr Id none() { return Id(-1); }

  [[nodiscard]] constexpr int value() const { return value_; }
  /// @pre it is not none()
  [[nodiscard]] constexpr std::size_t index() const { return static_cast<std::size_t>(value_); }

  constexpr Id& operator++() {
    ++value_;
    return *this;
  }
  constexpr Id operator++(int) {
    const Id before = *this;
    ++value_;
    return before;
  }
  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is in the comparison that the compiler writes
  friend constexpr auto operator<=>(const Id&, const Id&) = default;

 private:
  int value_ = 0;
};

/// The ids below a number.
template <class I>
class IdRange {
 public:
  class iterator {  // NOLINT(readability-identifier-naming): as in the standard library
   public:
    using value_type = I;
    using difference_type = std::ptrdiff_t;
    using reference = I;
    using pointer = void;
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::forward_iterator_tag;

    constexpr iterator() = default;
    explicit constexpr iterator(I id) : id_(id) {}
    constexpr I operator*() const { return id_; }
    constexpr iterator& operator++() {
      ++id_;
      return *this;
    }
    constexpr iterator operator++(int) { return iterator(id_++); }
    friend constexpr bool operator==(const iterator&, const iterator&) = default;

   private:
    I id_;
  };

  explicit constexpr IdRange(int n) : n_(n) {}
  [[nodiscard]] constexpr iterator begin() const { return iterator(I(0)); }
  [[nodiscard]] constexpr iterator end() const { return iterator(I(n_)); }

 private:
  int n_;
};

/// 0, 1, ... n - 1
template <class I>
[[nodiscard]] constexpr IdRange<I> ids(int n) {
  return IdRange<I>(n);
}

using TaskId = Id<struct TaskTag>;
using ClusterId = Id<struct ClusterTag>;
using AdapterId = Id<struct AdapterTag>;
using ModuleId = Id<struct ModuleTag>;
/// A part of the examples of every task.
using FoldId = Id<struct FoldTag>;

}  // namespace d2c

template <class Tag>
struct std::hash<d2c::Id<Tag>> {
  std::size_t operator()(d2c::Id<Tag> id) const { return std::hash<int>()(id.value()); }
};

template <class Tag>
struct fmt::formatter<d2c::Id<Tag>> : fmt::formatter<int> {
  template <class Context>
  auto format(d2c::Id<Tag> id, Context& context) const {
    return fmt::formatter<int>::format(id.value(), context);
  }
};
