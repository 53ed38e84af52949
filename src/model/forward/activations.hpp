#pragma once

#include <cstddef>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/attention.hpp"
#include "d2c/ops/rows.hpp"

namespace d2c::model {

/// A [rows, width] activation whose memory is kept from batch to batch.
class Buffer {
 public:
  ops::Rows shape(Index rows, Index width) {
    ops::grow_to(memory_, static_cast<std::size_t>(rows * width));
    return {memory_.data(), rows, width, width};
  }
  [[nodiscard]] std::size_t held_bytes() const { return ops::held_bytes(memory_); }

 private:
  ops::AlignedFloats memory_;
};

/// What a pass computes, written anew by every layer but for the residual stream.
struct Activations {
  Buffer residual;    ///< [tokens, hidden]
  Buffer normalised;  ///< [tokens, hidden]
  Buffer qkv;         ///< [tokens, q_size + 2 kv_size]
  Buffer attended;    ///< [tokens, q_size]; at the end [targets, hidden]
  Buffer gate_up;     ///< [tokens, 2 intermediate]
  Buffer projected;   ///< [tokens, sum of ranks]
  ops::Attention attention;

  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t bytes = attention.held_bytes();
    for (const Buffer* buffer : {&residual, &normalised, &qkv, &attended, &gate_up, &projected}) {
      bytes += buffer->held_bytes();
    }
    return bytes;
  }
};

}  // namespace d2c::model
