#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "d2c/model/config.hpp"
#include "d2c/ops/aligned.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::safetensors {
class ShardedReader;
}

namespace d2c::model {

/// Memory for the weights of one model, which several processes may share.
class WeightStorage {
 public:
  WeightStorage() = default;
  WeightStorage(const WeightStorage&) = delete;
  WeightStorage& operator=(const WeightStorage&) = delete;
  virtual ~WeightStorage() = default;

  /// Called once. @return memory aligned to 64 bytes that lives as long as this object
  virtual std::span<std::byte> allocate(std::size_t bytes) = 0;
  /// Whether this process writes the weights; the others may read them only after it has.
  [[nodiscard]] virtual bool should_fill() const = 0;
};

/// Memory of this process alone.
class HeapStorage final : public WeightStorage {
 public:
  std::span<std::byte> allocate(std::size_t bytes) override;
  [[nodiscard]] bool should_fill() const override { return true; }

 private:
  std::vector<std::byte, ops::AlignedAllocator<std::byte>> memory_;
};

struct NormWeights {
  std::span<const float> weight;
  std::span<const float> bias;  ///< empty = none
};

/// One decoder layer. Layers that read the same input are one matrix, their rows one below another.
struct LayerWeights {
  NormWeights input_norm;           ///< empty without norm_before
  ops::PackedMatrix qkv;            ///< [q_size + 2 kv_size, hidden]
  std::span<const float> qkv_bias;  ///< empty = none
  std::span<const float> q_norm;    ///< [head_dim], [n_heads * head_dim] or empty: see HeadNorm
  std::span<const float> k_norm;
  ops::PackedMatrix o;  ///< [hidden, q_size]
  std::span<const float> o_bias;
  NormWeights attention_output_norm;  ///< empty without norm_after
  NormWeights mlp_norm;               ///< empty without norm_before, and with parallel_residual
  ops::PackedMatrix gate_up;          ///< [2 intermediate, hidden]
  std::span<const float> gate_up_bias;
  ops::PackedMatrix down;  ///< [hidden, intermediate]
  std::span<const float> down_bias;
  NormWeights mlp_output_norm;  ///< empty without norm_after
};

/// Views of a model's weights, in the form that the forward pass reads: matrices in one of the
/// packed formats, vectors in float32.
struct Weights {
  ops::PackedMatrix embedding;             ///< [vocabulary, hidden]
  std::span<const float> embedding_scale;  ///< [1] ModelConfig's, rounded if it says so; empty = 1
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  ops::PackedMatrix head;  ///< [vocabulary, hidden]; with tied embeddings the same memory
  /// Largest relative change of an entry of a matrix by rounding to the packed format; 0 = exact.
  /// Known to the process that filled the memory.
  double largest_rounding = 0.0;
};

/// In which format the user wants the matrices.
enum class WeightChoice {
  automatic,  ///< BF16 where the files' matrices are BF16, so that nothing is lost; else F32
  f32,
  bf16,  ///< rounds F32 and F16 files
};
/// The number formats that the user wants of the base model.
struct Precision {
  WeightChoice weights = WeightChoice::automatic;
  ops::Arithmetic compute = ops::Arithmetic::f32;  ///< of products with the matrices
};
/// The format of the matrices that this means for the safetensors files of a model folder. Reads
/// their headers. BF16 arithmetic needs BF16 matrices: they are rounded only if the user asks for
/// it.
/// @throws InputError naming the file and what is wrong with it
/// @throws UsageError if BF16 arithmetic does not go with the weights
/// @param weights  of the folder, if they are open; null = they are opened if they are asked
[[nodiscard]] ops::WeightFormat weight_format(const std::filesystem::path& folder,
                                              Precision precision,
                                              const safetensors::ShardedReader* weights = nullptr);
/// @throws UsageError if this processor does not have the arithmetic
void check_processor(ops::Arithmetic compute);

/// Bytes that load_weights allocates.
[[nodiscard]] std::size_t weight_bytes(const ModelConfig& config, ops::WeightFormat format);

/// Compares names and shapes with what the configuration asks for, before any memory is.
/// @throws InputError naming file and tensor: missing, of another shape, or not known
void check_weights(const safetensors::ShardedReader& weights, const ModelConfig& config);

/// Reads the safetensors files of a Hugging Face model folder; F32, F16, BF16 (mixed) become
/// `format`. Tied embeddings may be stored under either name. Only a process that `storage` tells
/// to fill opens the files and checks them.
/// @throws InputError naming file and tensor: missing, of another shape, not finite (also: too
/// large for the format), or not known
[[nodiscard]] Weights load_weights(const std::filesystem::path& folder, const ModelConfig& config,
                                   ops::WeightFormat format, WeightStorage& storage);

/// Products with the matrices are computed so from now on. @pre the format allows it
void compute_in(ops::Arithmetic arithmetic, Weights& weights);

/// Weights of a model that exists nowhere, uniform in [-0.05, 0.05).
[[nodiscard]] Weights random_weights(const ModelConfig& config, ops::WeightFormat format,
                                     WeightStorage& storage);

}  // namespace d2c::model
