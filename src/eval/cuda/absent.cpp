#include "d2c/core/error.hpp"

#include "cuda/cuda.hpp"

// For builds without CUDA.

namespace d2c::eval::cuda {

std::string support() { return "no CUDA"; }
std::string what_is_missing() { return "this program was built without CUDA"; }
std::vector<std::string> usable() { return {}; }

std::unique_ptr<LossEngine> make_engine(const model::Model&, const EngineChoice&) {
  D2C_EXPECTS(false);
  return nullptr;
}

double product_rate(int, Index, bool) { return 0.0; }

}  // namespace d2c::eval::cuda
