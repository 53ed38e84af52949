#pragma once

#include <string>

#include <cublasLt.h>

namespace d2c::eval::device {

/// cuBLASLt, which is opened when it is first needed: a program with CUDA starts on nodes without.
struct CublasLt {
  /// @throws Error if it is not there
  static const CublasLt& library();
  /// Why it cannot be opened; empty = it can.
  static std::string problem();

  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) describe;
  decltype(&cublasLtMatmulDescSetAttribute) set_description;
  decltype(&cublasLtMatmulDescDestroy) destroy_description;
  decltype(&cublasLtMatrixLayoutCreate) lay_out;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) prefer;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
  decltype(&cublasLtMatmul) multiply;
  decltype(&cublasLtGetStatusString) text;
};

}  // namespace d2c::eval::device
