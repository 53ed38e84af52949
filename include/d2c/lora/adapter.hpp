#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "d2c/lora/factors.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::lora {

/// An adapter as read from a PEFT folder.
struct Adapter {
  std::filesystem::path folder;
  std::string base_model;       ///< base_model_name_or_path of the config; may be empty
  DType dtype = DType::f32;     ///< of the stored factors
  FactorMap modules;
};

/// A module of the base model that an adapter may target: a linear layer, or an embedding.
struct TargetModule {
  std::string name;   ///< "model.layers.0.self_attn.q_proj"
  Index d_out = 0;
  Index d_in = 0;
};

/// Reads adapter_config.json and adapter_model.safetensors, checks them against each other and,
/// where `base` is not empty, against the base model's modules (name, shape, missing, surplus).
/// @throws InputError with file and tensor or field
[[nodiscard]] Adapter read_adapter(const std::filesystem::path& folder,
                                   std::span<const TargetModule> base = {});

/// What goes into a written PEFT folder beside the factors.
struct WriteOptions {
  DType dtype = DType::f32;
  std::string base_model;   ///< base_model_name_or_path
  std::string card;         ///< README.md of the folder (Markdown); empty = none
};

/// Writes a PEFT folder: scalings folded so that lora_alpha = r (scaling 1), rank_pattern and
/// alpha_pattern where ranks differ. Nothing is left in part: a temporary folder, then a rename.
/// @throws InputError if `folder` exists already or cannot be written
void write_adapter(const std::filesystem::path& folder, const FactorMap& modules,
                   const WriteOptions& options);

}  // namespace d2c::lora
