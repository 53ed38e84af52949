#include "cuda/cublas_lt.hpp"

#include <dlfcn.h>

#include "d2c/core/error.hpp"

namespace d2c::eval::device {
namespace {

/// Opened once, and kept. Null where it is not there; then `problem` says why.
struct Opened {
  void* handle = nullptr;
  std::string problem;

  Opened() {
    const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
    for (const std::string& place : {name, std::string(D2C_CUDA_LIBRARIES) + "/" + name}) {
      handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle != nullptr) return;
    }
    problem = name + " is not found";
  }
};

const Opened& opened() {
  static const Opened once;
  return once;
}

template <class Function>
void load(const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(opened().handle, name));
  if (function != nullptr) return;
  throw Error(ExitCode::failure, {},
              {std::string("cuBLASLt has no ") + name, "its version is another one",
               "use the CUDA toolkit that the program was built with"});
}

CublasLt loaded() {
  if (const std::string problem = CublasLt::problem(); !problem.empty()) {
    throw Error(ExitCode::failure, {}, {problem, "it multiplies on the GPU", "use --device cpu"});
  }
  CublasLt lt{};
  load("cublasLtCreate", lt.create);
  load("cublasLtDestroy", lt.destroy);
  load("cublasLtMatmulDescCreate", lt.describe);
  load("cublasLtMatmulDescSetAttribute", lt.set_description);
  load("cublasLtMatmulDescDestroy", lt.destroy_description);
  load("cublasLtMatrixLayoutCreate", lt.lay_out);
  load("cublasLtMatrixLayoutDestroy", lt.destroy_layout);
  load("cublasLtMatmulPreferenceCreate", lt.prefer);
  load("cublasLtMatmulPreferenceSetAttribute", lt.set_preference);
  load("cublasLtMatmulPreferenceDestroy", lt.destroy_preference);
  load("cublasLtMatmulAlgoGetHeuristic", lt.choose);
  load("cublasLtMatmul", lt.multiply);
  load("cublasLtGetStatusString", lt.text);
  return lt;
}

}  // namespace

std::string CublasLt::problem() { return opened().problem; }

const CublasLt& CublasLt::library() {
  static const CublasLt once = loaded();
  return once;
}

}  // namespace d2c::eval::device
