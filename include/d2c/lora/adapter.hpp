#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "d2c/lora/config.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::lora {

/// The two files of a PEFT folder, wherever they were read from.
struct AdapterFiles {
  std::filesystem::path folder;    ///< for messages
  std::string config;              ///< adapter_config.json
  std::vector<std::byte> tensors;  ///< adapter_model.safetensors
};
/// @throws InputError if one of them cannot be read
[[nodiscard]] AdapterFiles read_adapter_files(const std::filesystem::path& folder);

/// Where the values of one factor lie, in the type they are stored in.
struct StoredMatrix {
  DType dtype = DType::f32;
  Index rows = 0;
  Index cols = 0;
  std::uint64_t begin = 0;  ///< bytes from the start of adapter_model.safetensors

  [[nodiscard]] std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(rows * cols) * size_of(dtype);
  }
};
struct StoredFactors {
  StoredMatrix a;
  StoredMatrix b;
  double scaling = 1.0;
};

/// An adapter as read from a PEFT folder.
struct Adapter {
  std::filesystem::path folder;
  DType dtype = DType::f32;  ///< of the stored factors; F32 where they differ
  FactorMap modules;
  AdapterConfig config;
  std::map<std::string, StoredFactors> stored;  ///< the same modules
};

/// A module of the base model that an adapter may target: a linear layer, or the embedding, seen as
/// the linear map from one-hot tokens to vectors (d_in = vocabulary, d_out = hidden).
struct TargetModule {
  std::string name;  ///< "model.layers.0.self_attn.q_proj"
  Index d_out = 0;
  Index d_in = 0;
};

/// Reads adapter_config.json and adapter_model.safetensors, checks them against each other and,
/// where `base` is not empty, against the base model's modules (name, shape, missing, surplus).
///
/// LoRA of the embedding (delta weight [vocabulary, hidden] = scaling * (B A)^T) keeps PEFT's
/// orientation: A [r, vocabulary], B [hidden, r].
///
/// @param model  folder of the base model; empty = not at hand. PEFT stores the whole embedding
///               beside the factors when it is a target: such a copy is accepted only if it equals
///               the weights in this folder, which is opened only then.
/// @throws InputError with file and tensor or field
[[nodiscard]] Adapter read_adapter(const std::filesystem::path& folder,
                                   std::span<const TargetModule> base = {},
                                   const std::filesystem::path& model = {});

/// The same for files that were read elsewhere.
[[nodiscard]] Adapter read_adapter(AdapterFiles files, std::span<const TargetModule> base = {},
                                   const std::filesystem::path& model = {});

/// 0 where there are no modules.
[[nodiscard]] Index largest_rank(const FactorMap& modules);

/// Whether every update is zero, as that of an adapter whose B was never trained or loaded.
[[nodiscard]] bool changes_nothing(const FactorMap& modules);

/// Hash of names, shapes, values and scalings: equal content gives equal values on any machine.
[[nodiscard]] std::uint64_t fingerprint(const FactorMap& modules);

/// Names like "q_proj", each of which means modules of an adapter and no other of its base model.
using ShortNames = std::set<std::string, std::less<>>;
[[nodiscard]] ShortNames short_names(const FactorMap& modules, std::span<const TargetModule> base);
/// Those that the configuration of an adapter shows to be such names, where the base model is not
/// at hand.
[[nodiscard]] ShortNames short_names(const AdapterConfig& config);

/// What goes into a written PEFT folder beside the factors.
struct WriteOptions {
  DType dtype = DType::f32;
  std::string base_model;  ///< base_model_name_or_path
  std::string card;        ///< README.md of the folder (Markdown); empty = none
  ShortNames short_names;  ///< for target_modules, which has whole names of other modules
};

/// Writes a PEFT folder. All modules get the largest rank r among them, padded with zeros, and
/// scalings are folded into B so that lora_alpha = r (scaling 1): some programs that load adapters
/// ignore rank_pattern and alpha_pattern. Nothing is left in part: a temporary folder, then a
/// rename.
/// @pre modules is not empty
/// @throws InputError if `folder` exists already or cannot be written, or if a value is not finite
/// in options.dtype
void write_adapter(const std::filesystem::path& folder, const FactorMap& modules,
                   const WriteOptions& options);

}  // namespace d2c::lora
