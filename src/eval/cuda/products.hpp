#pragma once

#include <map>
#include <tuple>

#include <cuda_runtime.h>

#include "cuda/cublas_lt.hpp"
#include "device/memory.hpp"

namespace d2c::eval::device {

/// Products by cuBLASLt whose rows have the same bits in any batch: for each matrix shape and type
/// one algorithm, found for a batch of a fixed size and never split along the sum, serves all
/// numbers of rows.
class Products {
 public:
  explicit Products(cudaStream_t stream);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  void multiply(const Product& product);

 private:
  using Key = std::tuple<Index, Index, bool>;  ///< n, k, BF16
  [[nodiscard]] const cublasLtMatmulAlgo_t& algorithm_for(const Product& product);

  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_;
  void* workspace_ = nullptr;
  std::map<Key, cublasLtMatmulAlgo_t> chosen_;
};

}  // namespace d2c::eval::device
