#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

#include "d2c/lora/adapter.hpp"
#include "d2c/model/config.hpp"
#include "d2c/model/weights.hpp"

namespace d2c::model {

/// A base model: immutable after loading, and usable from several decoders.
class Model {
 public:
  /// Reads config.json and the safetensors files of a Hugging Face model folder.
  /// @param format   of the matrices in memory; see weight_format()
  /// @param storage  where the weights go; default: this process's memory
  /// @param compute  arithmetic of products with the matrices; see check_processor()
  /// @param texts    reads config.json
  /// @throws InputError naming the file and what is wrong with it
  /// @throws UsageError if this processor does not have the arithmetic
  /// @pre BF16 arithmetic has BF16 matrices
  explicit Model(const std::filesystem::path& folder,
                 ops::WeightFormat format = ops::WeightFormat::f32,
                 std::shared_ptr<WeightStorage> storage = std::make_shared<HeapStorage>(),
                 ops::Arithmetic compute = ops::Arithmetic::f32, const FileTexts& texts = {});

  /// A model of random weights in [-0.05, 0.05), for measuring speed.
  [[nodiscard]] static Model random(ModelConfig config,
                                    ops::WeightFormat format = ops::WeightFormat::f32,
                                    ops::Arithmetic compute = ops::Arithmetic::f32);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const Weights& weights() const { return weights_; }
  [[nodiscard]] ops::WeightFormat format() const { return weights_.embedding.format(); }
  [[nodiscard]] ops::Arithmetic arithmetic() const { return weights_.head.arithmetic(); }
  /// The modules that an adapter may target.
  [[nodiscard]] std::vector<lora::TargetModule> target_modules() const;

 private:
  Model(ModelConfig config, std::shared_ptr<WeightStorage> storage, Weights weights,
        ops::Arithmetic compute);

  ModelConfig config_;
  std::shared_ptr<WeightStorage> storage_;
  Weights weights_;
};

/// The modules that an adapter may target: the linear layers of each decoder layer as the
/// checkpoint has them, the embedding and the output projection.
[[nodiscard]] std::vector<lora::TargetModule> target_modules(const ModelConfig& config);

}  // namespace d2c::model
