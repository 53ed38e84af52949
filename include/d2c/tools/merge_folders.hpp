#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/merge/merge.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::tools {

/// What `d2c merge` does: adapters in, one adapter out, without base model or clustering.
struct MergeFoldersOptions {
  std::vector<std::filesystem::path> adapters;  ///< PEFT folders or LIBRARY::NAME; not empty
  std::vector<double> weights;                  ///< one per adapter; empty = 1/m each
  std::string method = "average";
  merge::Options merge;
  std::optional<DType> dtype;    ///< unset = as the adapters were stored
  std::filesystem::path model;   ///< of the base; may be empty, see lora::read_adapter
  std::filesystem::path output;  ///< must not exist
};

/// @return  what was written, and which adapters lack some of the modules, a line each
/// @throws UsageError or InputError; nothing is written then
std::string merge_folders(const MergeFoldersOptions& options);

}  // namespace d2c::tools
