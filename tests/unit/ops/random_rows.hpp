#pragma once

#include <string_view>

#include "d2c/core/rng.hpp"
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

}  // namespace d2c::test
