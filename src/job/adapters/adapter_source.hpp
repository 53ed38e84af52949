#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::job {

/// Where the adapters of a job lie on the disk: PEFT folders, or entries of one library file.
class AdapterSource {
 public:
  AdapterSource() = default;
  AdapterSource(const AdapterSource&) = delete;
  AdapterSource& operator=(const AdapterSource&) = delete;
  virtual ~AdapterSource() = default;

  [[nodiscard]] virtual int size() const = 0;
  /// Folder of the adapter, or its name in the library.
  [[nodiscard]] virtual std::string name(AdapterId adapter) const = 0;
  /// Bytes of each adapter's tensors as stored, at least 1.
  [[nodiscard]] virtual const std::vector<double>& bytes() const = 0;

  /// The whole adapter, verified as far as the source has a checksum. @throws InputError
  [[nodiscard]] virtual lora::AdapterFiles read(AdapterId adapter) const = 0;
  /// Bytes from `begin` on of its adapter_model.safetensors. @throws InputError
  virtual void read(AdapterId adapter, std::uint64_t begin, std::span<std::byte> target) const = 0;
};

/// What tells the adapter of a task from others: the folder, however the manifest spells it, or the
/// name in the library.
[[nodiscard]] std::filesystem::path adapter_of(const eval::TaskSpec& task);

/// Each folder is opened by the rank that reads it. Collective: the ranks share the work of asking
/// for the sizes.
[[nodiscard]] std::unique_ptr<AdapterSource> open_folders(
    comm::Communicator& comm, std::vector<std::filesystem::path> folders);

/// The index is read by rank 0, the file is opened once per host. Collective.
/// @throws InputError, the same on every rank: not a whole library, or a name is not in it
[[nodiscard]] std::unique_ptr<AdapterSource> open_library(comm::Communicator& comm,
                                                          const std::filesystem::path& library,
                                                          std::vector<std::string> names);

}  // namespace d2c::job
