#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/model/model.hpp"
#include "d2c/tensor/dtype.hpp"
#include "d2c/tensor/matrix.hpp"

#include "batches.hpp"

namespace d2c::test {

/// A model of a few hundred random weights, as config.json and tensors. Vectors are [1, n].
struct TinyModel {
  json::Json config;
  std::map<std::string, Matrix> tensors;
  /// For the twin: products with the weights round the other factor to BF16.
  bool bf16_arithmetic = false;
  std::map<std::string, DType> stored_as;  ///< tensors that are written in a type of their own
};

/// A model whose config.json is that of a small Llama with the keys of `changes` put over it (null
/// removes a key), and with the tensors that this configuration asks for.
[[nodiscard]] TinyModel tiny_model(const json::Json& changes);

/// Writes a Hugging Face model folder.
void write_model(const std::filesystem::path& folder, const TinyModel& model,
                 DType dtype = DType::f32);
/// The model, read from a folder that is gone afterwards.
[[nodiscard]] model::Model load(const TinyModel& model, DType dtype = DType::f32,
                                ops::WeightFormat format = ops::WeightFormat::f32,
                                ops::Arithmetic compute = ops::Arithmetic::f32);

/// A random adapter of rank `rank` for every linear layer, the embedding and the projection.
[[nodiscard]] lora::FactorMap tiny_adapter(const TinyModel& model, Index rank);

/// Scalar twin of the whole decoder in float64, straight from config.json and the tensors: the
/// negative log likelihood of ids[1 ..]. The adapter is added to the weights.
[[nodiscard]] std::vector<double> reference_nll(const TinyModel& model, const Ids& ids,
                                                const lora::FactorMap& adapter = {});

/// What each linear layer and the projection read in the same pass. [module][position, d_in]
using ReferenceInputs = std::map<std::string, std::vector<std::vector<double>>>;
[[nodiscard]] ReferenceInputs reference_inputs(const TinyModel& model, const Ids& ids,
                                               const lora::FactorMap& adapter = {});

}  // namespace d2c::test
