#pragma once

#include <memory>
#include <string>
#include <vector>

#include "d2c/eval/device.hpp"
#include "d2c/eval/loss_engine.hpp"
#include "d2c/model/model.hpp"

namespace d2c::eval {

/// The engine of one rank.
struct EngineChoice {
  Device device = Device::cpu;                     ///< automatic = cuda where the process has a GPU
  int threads = 1;                                 ///< of the CPU, >= 1
  ops::Arithmetic compute = ops::Arithmetic::f32;  ///< of products with the model's matrices
  int gpu = 0;                                     ///< index among those that can be used
  int ranks_per_gpu = 1;                           ///< that share its memory
  Index pass_tokens = 32768;                       ///< of a GPU, if there is room for so many

  /// Where the process has no GPU, or is to use none, the CPU is left. @return no longer automatic
  [[nodiscard]] EngineChoice settled() const;
  /// Arithmetic of the CPU, with which the model is loaded: beside a GPU it needs none but F32.
  [[nodiscard]] ops::Arithmetic on_cpu() const {
    return device == Device::cuda ? ops::Arithmetic::f32 : compute;
  }
};

/// @param model  outlives the engine; its arithmetic is choice.on_cpu()
/// @throws UsageError if the device is not there, or does not compute this model
/// @throws Error if the model does not fit into its memory
[[nodiscard]] std::unique_ptr<LossEngine> make_engine(const model::Model& model,
                                                      const EngineChoice& choice);

/// What this build knows of GPUs, for people: "CUDA 13.0 with cuBLASLt, for sm_90" or "no CUDA".
[[nodiscard]] std::string cuda_support();
/// What tells GPUs apart, of those that this process can use.
[[nodiscard]] std::vector<std::string> usable_gpus();
/// @throws UsageError that says what is missing where no GPU can be used
void check_gpu();

}  // namespace d2c::eval
