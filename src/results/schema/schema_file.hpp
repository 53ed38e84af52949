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
      : pending_(place), content_(place, pending_.alias()) {}

  /// The HDF5 file. @pre complete() was not called
  [[nodiscard]] hid_t content() const { return content_.get(); }
  /// Where what is written to content() is noted.
  [[nodiscard]] ReadBack& read_back() { return read_back_; }
  /// Writes the header, what `write` writes, and the seal, flushes the file to the disk, and reads
  /// back what it holds.
  /// @throws IoError; what `write` throws
  void complete(const Schema& schema, const std::function<void(SchemaWriter&)>& write);
  /// To be published or kept.
  [[nodiscard]] PendingFile& pending() { return pending_; }
  [[nodiscard]] const PendingFile& pending() const { return pending_; }

 private:
  PendingFile pending_;
  h5::OutputFile content_;
  ReadBack read_back_;
};

}  // namespace d2c::results
