#pragma once

#include <filesystem>
#include <string>

#include "d2c/core/rng.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::tools {

/// One module of random factors, scaling 1.
inline lora::FactorMap example_modules(const std::string& name, Index rank = 2, Index d_in = 6) {
  CounterRng rng(1, hash_name(name));
  const auto random = [&](Index rows, Index cols) {
    Matrix matrix(rows, cols);
    for (float& value : matrix.values()) value = static_cast<float>(rng.normal());
    return matrix;
  };
  return {{"layers.0.q_proj", {random(rank, d_in), random(4, rank), 1.0}}};
}

/// A PEFT folder with the modules of its name.
inline std::filesystem::path save_adapter(const std::filesystem::path& folder,
                                          const std::string& name, Index rank = 2, Index d_in = 6) {
  lora::write_adapter(folder / name, example_modules(name, rank, d_in), {});
  return folder / name;
}

}  // namespace d2c::tools
