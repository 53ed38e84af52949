#pragma once

#include <memory>
#include <string>
#include <vector>

#include "d2c/eval/engine_choice.hpp"

/// All that the rest of the program sees of CUDA. absent.cpp implements it where the build has
/// none.
namespace d2c::eval::cuda {

/// "CUDA 13.0 with cuBLASLt, for sm_90", or "no CUDA".
[[nodiscard]] std::string support();
/// Why no GPU can be used; empty = one can.
[[nodiscard]] std::string what_is_missing();
/// The UUIDs of GPUs that can be used.
[[nodiscard]] std::vector<std::string> usable();
/// @pre what_is_missing() is empty
[[nodiscard]] std::unique_ptr<LossEngine> make_engine(const model::Model& model,
                                                      const EngineChoice& choice);

/// FLOP/s of a product of square matrices of this size: the peak that engines are measured by.
/// @pre what_is_missing() is empty
[[nodiscard]] double product_rate(int gpu, Index size, bool is_bf16);

}  // namespace d2c::eval::cuda
