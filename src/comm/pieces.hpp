#pragma once

#include <algorithm>
#include <cstddef>

namespace d2c::comm {

/// MPI counts are int; larger messages travel in pieces.
inline constexpr std::size_t piece = std::size_t{1} << 30;

/// Calls visit(offset, int bytes) for each piece of a message of so many bytes.
template <class Visit>
void for_each_piece(std::size_t bytes, const Visit& visit) {
  for (std::size_t at = 0; at < bytes; at += piece) {
    visit(at, static_cast<int>(std::min(piece, bytes - at)));
  }
}

}  // namespace d2c::comm
