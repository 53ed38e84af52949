#pragma once

#include <filesystem>
#include <functional>

#include "d2c/core/pending.hpp"

#include "files/hdf5.hpp"
#include "schema/schema_writer.hpp"

namespace d2c::results {

/// A file of one schema on its way to its place: HDF5 content with a seal behind it.
/// @pre every call is in the scope of an h5::QuietErrors
class SchemaFile {
 public:
  /// @throws IoError
  explicit SchemaFile(const std::filesystem::path& place)
      : pending_(place), content_(place, pending_.path()) {}

  /// The HDF5 file. @pre complete() was not called
  [[nodiscard]] hid_t content() const { return content_.get(); }
  /// Writes the header, what `write` writes, and the seal, and flushes the file to the disk.
  /// @throws IoError; what `write` throws
  void complete(const Schema& schema, const std::function<void(SchemaWriter&)>& write);
  /// To be published or kept.
  [[nodiscard]] PendingFile& pending() { return pending_; }
  [[nodiscard]] const PendingFile& pending() const { return pending_; }

 private:
  PendingFile pending_;
  h5::OutputFile content_;
};

}  // namespace d2c::results
