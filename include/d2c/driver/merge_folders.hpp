#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/merge/merge.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::driver {

/// What `d2c merge` does: adapters in, one adapter out, without base model or clustering.
struct MergeFoldersOptions {
  std::vector<std::filesystem::path> adapters;  ///< PEFT folders; not empty
  std::vector<double> weights;                  ///< one per adapter; empty = 1/m each
  std::string method = "average";
  merge::Options merge;
  std::optional<DType> dtype;    ///< unset = as the adapters were stored
  std::filesystem::path output;  ///< must not exist
};

/// @return  one line that says what was written
/// @throws UsageError or InputError; nothing is written then
std::string merge_folders(const MergeFoldersOptions& options);

}  // namespace d2c::driver
