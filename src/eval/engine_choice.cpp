#include "d2c/eval/engine_choice.hpp"

#include "d2c/core/error.hpp"
#include "d2c/eval/cpu_engine.hpp"

#include "cuda/cuda.hpp"

namespace d2c::eval {

std::string cuda_support() { return cuda::support(); }

std::vector<std::string> usable_gpus() { return cuda::usable(); }

void check_gpu() {
  const std::string missing = cuda::what_is_missing();
  if (missing.empty()) return;
  throw UsageError({"--device cuda: " + missing, "losses would be computed on it",
                    "use --device cpu, or a build and a node that have it"});
}

EngineChoice EngineChoice::settled() const {
  EngineChoice choice = *this;
  if (device == Device::automatic) {
    choice.device = usable_gpus().empty() ? Device::cpu : Device::cuda;
  }
  return choice;
}

std::unique_ptr<LossEngine> make_engine(const model::Model& model, const EngineChoice& choice) {
  D2C_EXPECTS(choice.device != Device::automatic);
  if (choice.device != Device::cuda) return make_cpu_engine(model, choice.threads);
  check_gpu();
  return cuda::make_engine(model, choice);
}

}  // namespace d2c::eval
