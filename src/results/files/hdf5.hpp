#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <hdf5.h>

#include "d2c/core/error.hpp"

/// Owning handles and checked calls over the HDF5 C API.
namespace d2c::results::h5 {

/// Keeps HDF5 from printing its error stack in this scope and thread; errors travel as exceptions.
class QuietErrors {
 public:
  QuietErrors();
  ~QuietErrors();
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// An identifier that is closed at the end of its scope, for when an exception ends it. Otherwise
/// close_written() or close_read() closes it before: what HDF5 says then is checked.
template <herr_t (*close)(hid_t)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close(id_);
  }
  [[nodiscard]] hid_t get() const { return id_; }
  /// Closes now. @return what HDF5 says
  herr_t reset() { return id_ < 0 ? 0 : close(std::exchange(id_, H5I_INVALID_HID)); }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Object = Handle<H5Oclose>;
using Dataset = Handle<H5Dclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Attribute = Handle<H5Aclose>;
using Properties = Handle<H5Pclose>;

/// With HDF5's own reason: an IoError, and an InputError as the content must be damaged.
[[noreturn]] void fail_write(const Where& where);
[[noreturn]] void fail_read(const Where& where, std::string_view what = "cannot be read");

/// Every call of HDF5 goes through one of these; a negative status is an error.
template <class Status>
Status check_write(Status status, const Where& where) {
  if (status < 0) fail_write(where);
  return status;
}
template <class Status>
Status check_read(Status status, const Where& where) {
  if (status < 0) fail_read(where);
  return status;
}

template <class... Handles>
void close_written(const Where& where, Handles&... handles) {
  (check_write(handles.reset(), where), ...);
}
template <class... Handles>
void close_read(const Where& where, Handles&... handles) {
  (check_read(handles.reset(), where), ...);
}

struct OutputSettings {
  hsize_t alignment = 1;   ///< bytes; every object starts at a multiple of it
  bool in_memory = false;  ///< nothing reaches the disk
};

/// A new file for writing. Metadata carry checksums, and HDF5 1.8 or newer can read it.
class OutputFile {
 public:
  /// @param shown_as  name of the file in messages
  OutputFile(std::filesystem::path shown_as, const std::filesystem::path& file,
             const OutputSettings& settings = {});
  [[nodiscard]] hid_t get() const { return file_.get(); }
  void close();

 private:
  std::filesystem::path shown_as_;
  File file_;
};

/// @throws InputError unless this is a file, and not empty
void expect_file(const std::filesystem::path& file);

/// HDF5 marks a file while a program has it open for writing, so that its content is not to be
/// judged then. @throws InputError if another program has locked the file for writing
void expect_no_writer(const std::filesystem::path& file);

/// An existing file for reading. @throws InputError that says why it cannot be opened
[[nodiscard]] File open_file(const std::filesystem::path& file);

/// Variable-length UTF-8 text.
[[nodiscard]] Type string_type();
/// Truth value as h5py stores it: an enumeration FALSE, TRUE over int8.
[[nodiscard]] Type bool_type();

/// HDF5 type of T in memory.
template <class T>
hid_t memory_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
}

/// HDF5 type of T in files, the same on every machine.
template <class T>
hid_t file_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, float>) return H5T_IEEE_F32LE;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_STD_I32LE;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_STD_I64LE;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_STD_U64LE;
}

/// Attributes hold one value: text, number or truth value.
/// @param stored, memory  type in the file and of `value`
void write_attribute(hid_t object, const char* name, hid_t stored, hid_t memory, const void* value,
                     const Where& where);
void write_attribute(hid_t object, const char* name, const std::string& value, const Where& where);
void write_attribute(hid_t object, const char* name, bool value, const Where& where);
template <class T>
requires std::is_arithmetic_v<T>
void write_attribute(hid_t object, const char* name, T value, const Where& where) {
  write_attribute(object, name, file_type<T>(), memory_type<T>(), &value, where);
}

/// Creates a dataset and the groups above it. A scalar has no dims. Large arrays are stored in
/// compressed chunks with a checksum each, the others contiguously.
[[nodiscard]] Dataset create_dataset(hid_t file, const std::string& path, hid_t type,
                                     const std::vector<hsize_t>& dims, std::size_t element_size,
                                     const Where& where);

}  // namespace d2c::results::h5
