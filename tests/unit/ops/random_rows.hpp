#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "d2c/core/rng.hpp"
#include "d2c/ops/aligned.hpp"
#include "d2c/ops/packed_matrix.hpp"
#include "d2c/ops/thread_team.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::test {

/// For kernels that nobody helps.
inline ops::ThreadTeam one_thread;

/// Standard normal values, the same for the same name.
inline Matrix random_matrix(Index rows, Index cols, std::string_view name) {
  CounterRng rng(1, hash_name(name));
  Matrix result(rows, cols);
  for (float& value : result.values()) value = static_cast<float>(rng.normal());
  return result;
}

/// A matrix packed into memory that held NaN before.
/// @tparam Value  float or ops::BFloat16
template <class Value = float>
struct Packed {
  explicit Packed(const Matrix& w)
      : panels(ops::packed_bytes(format, w.rows(), w.cols()) / sizeof(Value)) {
    std::memset(panels.data(), 0xff, panels.size() * sizeof(Value));
    ops::pack_rows(ops::rows_of(w), 0, w.rows(), std::span<Value>(panels));
    view = {w.rows(), w.cols(), panels.data()};
  }
  std::vector<Value, ops::AlignedAllocator<Value>> panels;
  ops::PackedMatrix view;

 private:
  static constexpr ops::WeightFormat format =
      std::is_same_v<Value, float> ? ops::WeightFormat::f32 : ops::WeightFormat::bf16;
};

}  // namespace d2c::test
