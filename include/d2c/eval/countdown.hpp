#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>

#include "d2c/tensor/matrix.hpp"

namespace d2c::eval {

/// Hands out 0 .. n - 1 in this order, as UnitSource::take() does.
class Countdown {
 public:
  explicit Countdown(std::size_t n) : n_(static_cast<Index>(n)) {}

  [[nodiscard]] std::optional<Index> take(Index least) {
    Index next = next_.load();
    while (n_ - next >= std::max(least, Index{1})) {
      if (next_.compare_exchange_weak(next, next + 1)) return next;
    }
    return std::nullopt;
  }

 private:
  Index n_;
  std::atomic<Index> next_ = 0;
};

}  // namespace d2c::eval
