#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/core/timer.hpp"
#include "d2c/results/library.hpp"
#include "d2c/tools/pack.hpp"

#include "pack/journal.hpp"
#include "pack/partial_library.hpp"
#include "pack/request.hpp"

namespace d2c::tools {

/// Packs what is asked for, and goes on where an earlier call stopped.
class Packer {
 public:
  /// @param options  must outlive this object
  Packer(const LibraryOptions& options, PackRequest request);

  /// Call once. @throws InputError, IoError; what is packed by then stays for the next call
  PackSummary pack();

 private:
  /// What an earlier call left must be a beginning of what is asked for now.
  void check_resumed() const;
  void check_resumed(const PackedAdapter& adapter, const PackEntry* asked) const;
  [[noreturn]] void refuse_resumed(const std::string& name, std::string what) const;
  /// Begins with the records of the library that is there, which itself is not touched.
  void keep_old_library();
  void pack_one(const PackEntry& entry);
  /// Writes a record behind the others, without making a note of it.
  [[nodiscard]] results::LibraryRecord write_record(const lora::AdapterFiles& files);
  void note(PackedAdapter packed, const lora::Adapter& adapter, const PackEntry& entry);
  /// Compares what the file holds with what was written since the last commit.
  void read_back();
  void commit();
  /// After an error: the reason of that error is told, not that of this attempt.
  void save_what_is_done() noexcept;

  const LibraryOptions& options_;
  PackRequest request_;
  PartialLibrary partial_;
  PackJournal journal_;
  std::vector<results::LibraryRecord> unchecked_;  ///< written since the last commit
  std::uint64_t committed_ = 0;                    ///< bytes of data on the disk and noted
  Stopwatch since_commit_;
};

}  // namespace d2c::tools
