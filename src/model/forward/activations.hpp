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
  ops::Rows copy(ops::ConstRows rows) {
    const ops::Rows kept = shape(rows.n, rows.width);
    ops::copy(rows, kept);
    return kept;
  }
  [[nodiscard]] std::size_t held_bytes() const { return ops::held_bytes(memory_); }

 private:
  ops::AlignedFloats memory_;
};

/// What layer_forward() computes on its way and writes over, for a backward pass.
struct LayerRecord {
  Buffer input;  ///< [tokens, hidden] the normalised input of attention
  Buffer heads;  ///< [tokens, q_size + kv_size] q and k before their norms, if they have some
  Buffer attention_output;  ///< [wanted, hidden] before the norm that follows, if there is one
  Buffer middle;            ///< [wanted, hidden] the residual stream between attention and MLP
  Buffer gate;              ///< [wanted, intermediate] before the activation
  Buffer mlp_output;        ///< as attention_output

  [[nodiscard]] std::size_t held_bytes() const {
    return input.held_bytes() + heads.held_bytes() + attention_output.held_bytes() +
           middle.held_bytes() + gate.held_bytes() + mlp_output.held_bytes();
  }
};

/// What a pass computes, written anew by every layer but for the residual stream.
struct Activations {
  Buffer residual;    ///< [tokens, hidden]
  Buffer normalised;  ///< [tokens, hidden]
  Buffer qkv;         ///< [tokens, q_size + 2 kv_size]
  Buffer attended;    ///< [tokens, q_size]; at the end [targets, hidden]
  Buffer gate_up;     ///< [tokens, 2 intermediate]
  Buffer output;      ///< [tokens, hidden] of attention or MLP, where it is not added as it is
  Buffer projected;   ///< [tokens, sum of ranks]
  ops::KeyMemory keys;
  ops::Attention attention;

  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t bytes = keys.held_bytes() + attention.held_bytes();
    for (const Buffer* buffer :
         {&residual, &normalised, &qkv, &attended, &gate_up, &output, &projected}) {
      bytes += buffer->held_bytes();
    }
    return bytes;
  }
};

}  // namespace d2c::model
