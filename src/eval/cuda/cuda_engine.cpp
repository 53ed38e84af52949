#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/timer.hpp"

#include "cuda/cuda.hpp"
#include "cuda/cuda_backend.hpp"
#include "device/device_engine.hpp"

namespace d2c::eval::cuda {
namespace {

/// Kernels are compiled for this compute capability; later ones take the PTX.
constexpr int least_major = D2C_CUDA_LEAST_ARCHITECTURE / 10;
constexpr int least_minor = D2C_CUDA_LEAST_ARCHITECTURE % 10;
/// Of the free memory: the rest is for CUDA itself and for fragments.
constexpr double usable_share = 0.9;

bool is_usable(int device) {
  int major = 0;
  int minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    return false;
  }
  return major > least_major || (major == least_major && minor >= least_minor);
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::string support() {
  return "CUDA " + version_text(CUDART_VERSION) + " with cuBLASLt, for sm_" +
         std::to_string(D2C_CUDA_LEAST_ARCHITECTURE);
}

std::vector<std::string> usable() {
  int n = 0;
  if (!what_is_missing().empty() || cudaGetDeviceCount(&n) != cudaSuccess) return {};
  // The first ones, which are numbered from 0.
  std::vector<std::string> ids;
  for (int device = 0; device < n && is_usable(device); ++device) {
    cudaDeviceProp properties{};
    device::check(cudaGetDeviceProperties(&properties, device), "asking what it is");
    std::string& id = ids.emplace_back();
    for (const char byte : properties.uuid.bytes) {
      id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    }
  }
  return ids;
}

std::string what_is_missing() {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  if (status == cudaErrorInsufficientDriver) {
    return "there is no NVIDIA driver, or one older than CUDA " + version_text(CUDART_VERSION);
  }
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return std::string("no GPU is found: ") + cudaGetErrorString(status);
  }
  if (n == 0) return "no GPU is found";
  if (is_usable(0)) return device::CublasLt::problem();
  return "the GPU is older than sm_" + std::to_string(D2C_CUDA_LEAST_ARCHITECTURE) +
         ", which this program was built for";
}

std::unique_ptr<LossEngine> make_engine(const model::Model& model, const EngineChoice& choice) {
  device::check(cudaSetDevice(choice.gpu), "choosing it");
  cudaDeviceProp properties{};
  device::check(cudaGetDeviceProperties(&properties, choice.gpu), "asking what it is");
  std::size_t free = 0;
  std::size_t total = 0;
  device::check(cudaMemGetInfo(&free, &total), "asking for its memory");
  // Ranks that share a GPU look at it at different times.
  const double share = static_cast<double>(total) / choice.ranks_per_gpu;
  const auto budget =
      static_cast<std::size_t>(usable_share * std::min(static_cast<double>(free), share));
  return std::make_unique<device::DeviceEngine>(
      model, choice.threads, std::make_unique<device::CudaBackend>(choice.gpu, budget),
      device::DeviceEngine::Settings{
          "GPU " + std::to_string(choice.gpu) + " (" + properties.name + ")",
          choice.compute == ops::Arithmetic::bf16, choice.pass_tokens});
}

double product_rate(int gpu, Index size, bool is_bf16) {
  constexpr int repeats = 10;
  const auto n = static_cast<std::size_t>(size * size);
  device::CudaBackend backend(gpu, 4 * n * sizeof(float));
  device::OperandArray x(backend, is_bf16);
  std::vector<float> values(n);
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8U) * 0x1p-24F - 0.5F;
  }
  x.fit(size * size);
  x.write(0, values);
  device::Array<float> y(backend, n);
  const auto multiply = [&](int times) {
    for (int i = 0; i < times; ++i) {
      backend.multiply(
          {.x = x.values(), .w = x.values(), .y = y.data(), .m = size, .n = size, .k = size});
    }
    float first = 0.0F;
    y.read({&first, 1});  // waits
  };
  multiply(repeats);
  const Stopwatch watch;
  multiply(repeats);
  const auto side = static_cast<double>(size);
  return 2.0 * side * side * side * repeats / watch.seconds();
}

}  // namespace d2c::eval::cuda
