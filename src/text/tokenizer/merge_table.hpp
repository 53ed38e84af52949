#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "d2c/text/tokenizer.hpp"

namespace d2c::text {

/// What two tokens in a row become, and how early among the others.
struct Merge {
  std::uint32_t rank;
  TokenId result;
};

/// The merges of a model: a hash table with open addressing, which finds a pair in one or two
/// steps.
class MergeTable {
 public:
  MergeTable() : MergeTable(0) {}
  /// @param most  the number of pairs that `set` may be called with
  explicit MergeTable(std::size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}

  /// Replaces the merge of an equal pair.
  void set(TokenId left, TokenId right, Merge merge) {
    slots_[place_of(left, right)] = {left, right, merge};
  }

  /// Nothing if the two stay apart.
  [[nodiscard]] const Merge* find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[place_of(left, right)];
    return slot.left < 0 ? nullptr : &slot.merge;
  }

 private:
  struct Slot {
    TokenId left = -1;  ///< -1 = free
    TokenId right = -1;
    Merge merge{};
  };

  /// Where the pair is, or the free slot where it would be.
  [[nodiscard]] std::size_t place_of(TokenId left, TokenId right) const {
    const std::uint64_t pair =
        std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    // The multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
    const std::uint64_t hash = pair * 0x9E3779B97F4A7C15U;
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = (hash ^ hash >> 32) & mask;
    while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) {
      at = (at + 1) & mask;
    }
    return at;
  }

  std::vector<Slot> slots_;
};

}  // namespace d2c::text
