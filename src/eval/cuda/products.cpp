#include "cuda/products.hpp"

#include <string>

#include "d2c/core/error.hpp"

#include "cuda/cuda_backend.hpp"

namespace d2c::eval::device {
namespace {

constexpr Index reference_rows = 5120;
constexpr std::size_t workspace_limit = std::size_t{32} << 20;

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::failure, {},
              {std::string("cuBLASLt failed in ") + what, CublasLt::library().text(status),
               "use --device cpu, and report it"});
}

/// What cuBLASLt calls a product: column-major yᵀ [n, m] = (wᵀ)ᵀ xᵀ.
class Description {
 public:
  Description(const CublasLt& library, const Product& product, Index rows) : lt(library) {
    const cudaDataType_t operand = product.x.is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    // Float32 products are computed in float32, never in TF32.
    check(lt.describe(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a description");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(
        lt.set_description(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
        "a description");
    layout(w, operand, product.k, product.n);
    layout(x, operand, product.k, rows);
    layout(y, CUDA_R_32F, product.n, rows);
  }
  ~Description() {
    if (operation != nullptr) lt.destroy_description(operation);
    for (cublasLtMatrixLayout_t of : {w, x, y}) {
      if (of != nullptr) lt.destroy_layout(of);
    }
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  const CublasLt& lt;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;

 private:
  void layout(cublasLtMatrixLayout_t& of, cudaDataType_t type, Index rows, Index columns) {
    check(lt.lay_out(&of, type, static_cast<std::uint64_t>(rows),
                     static_cast<std::uint64_t>(columns), rows),
          "a layout");
  }
};

}  // namespace

Products::Products(cudaStream_t stream) : lt_(CublasLt::library()), stream_(stream) {
  check(lt_.create(&handle_), "its start");
  device::check(cudaMalloc(&workspace_, workspace_limit), "memory for products");
}

Products::~Products() {
  cudaFree(workspace_);
  lt_.destroy(handle_);
}

const cublasLtMatmulAlgo_t& Products::algorithm_for(const Product& product) {
  const Key key{product.n, product.k, product.x.is_bf16};
  if (const auto known = chosen_.find(key); known != chosen_.end()) return known->second;
  const Description shape(lt_, product, reference_rows);
  cublasLtMatmulPreference_t preference = nullptr;
  check(lt_.prefer(&preference), "a preference");
  const std::uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
  check(lt_.set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction,
                           sizeof(reduction)),
        "a preference");
  check(lt_.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_limit,
                           sizeof(workspace_limit)),
        "a preference");
  cublasLtMatmulHeuristicResult_t found{};
  int n_found = 0;
  const cublasStatus_t status = lt_.choose(handle_, shape.operation, shape.w, shape.x, shape.y,
                                           shape.y, preference, 1, &found, &n_found);
  lt_.destroy_preference(preference);
  check(status, "the choice of an algorithm");
  if (n_found == 0) check(CUBLAS_STATUS_NOT_SUPPORTED, "the choice of an algorithm");
  return chosen_.emplace(key, found.algo).first->second;
}

void Products::multiply(const Product& product) {
  if (product.m == 0) return;
  const cublasLtMatmulAlgo_t& algorithm = algorithm_for(product);
  const Description shape(lt_, product, padded(product.m));
  const float one = 1.0F;
  const float beta = product.adds ? 1.0F : 0.0F;
  check(lt_.multiply(handle_, shape.operation, &one, product.w.data, shape.w, product.x.data,
                     shape.x, &beta, product.y, shape.y, product.y, shape.y, &algorithm, workspace_,
                     workspace_limit, stream_),
        "a product");
}

}  // namespace d2c::eval::device
