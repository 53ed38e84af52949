#include "files/hdf5.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

namespace d2c::results::h5 {
namespace {

/// HDF5's innermost message; of a failed system call only the system's own words.
std::string reason() {
  std::string text;
  const auto take_first = [](unsigned depth, const H5E_error2_t* entry, void* data) -> herr_t {
    if (depth == 0 && entry->desc != nullptr) *static_cast<std::string*>(data) = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  static constexpr std::string_view marker = "error message = '";
  if (const auto start = text.find(marker); start != std::string::npos) {
    text = text.substr(start + marker.size());
    text = text.substr(0, text.find('\''));
  }
  return text.empty() ? "HDF5 gives no reason" : text;
}

Properties access(const Where& where) {
  Properties properties(check_write(H5Pcreate(H5P_FILE_ACCESS), where));
  check_write(H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG), where);
  // Parallel file systems often lack flock(); the files need no lock, they appear whole by rename.
  check_write(H5Pset_file_locking(properties.get(), false, true), where);
  // The 1.8 format has checksums over its metadata and is read by every present tool.
  check_write(H5Pset_libver_bounds(properties.get(), H5F_LIBVER_V18, H5F_LIBVER_V18), where);
  return properties;
}

}  // namespace

QuietErrors::QuietErrors() {
  // HDF5 1.10 crashes in its exit handler if closing a file failed before, as it does on a full
  // disk. Files are closed by their handles; the handler has nothing to do.
  static const herr_t without_exit_handler = H5dont_atexit();
  static_cast<void>(without_exit_handler);
  // Without memory HDF5 1.10 gives back what it keeps for later, and damages what it has in use.
  static const herr_t keeps_nothing = H5set_free_list_limits(0, 0, 0, 0, 0, 0);
  static_cast<void>(keeps_nothing);
  // A file shall not name code that is loaded to read it.
  static const herr_t without_plugins = H5PLset_loading_state(0);
  static_cast<void>(without_plugins);
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietErrors::~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

void fail_write(const Where& where) {
  throw IoError(where, {"cannot be written", "", "free some space or write to another place"},
                reason());
}

void fail_read(const Where& where, std::string_view what) {
  throw InputError(where, {fmt::format("{}: {}", what, reason()), "",
                           "the file is damaged: restore it or run again"});
}

OutputFile::OutputFile(std::filesystem::path shown_as, const std::filesystem::path& file,
                       const OutputSettings& settings)
    : shown_as_(std::move(shown_as)) {
  const Where where{shown_as_, {}};
  Properties properties = access(where);
  check_write(H5Pset_alignment(properties.get(), 0, settings.alignment), where);
  if (settings.in_memory) {
    constexpr std::size_t increment = 1 << 16;
    check_write(H5Pset_fapl_core(properties.get(), increment, false), where);
  }
  file_ = File(
      check_write(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties.get()), where));
  close_written(where, properties);
}

void OutputFile::close() {
  const Where where{shown_as_, {}};
  check_write(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), where);
  close_written(where, file_);
}

void expect_file(const std::filesystem::path& file) {
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (!std::filesystem::is_regular_file(status)) {
    const bool exists = std::filesystem::exists(status);
    throw InputError({file, {}}, {exists ? "is not a file" : "does not exist",
                                  "an HDF5 file is needed", "check the path"});
  }
  if (std::filesystem::is_empty(file, ignored)) {
    throw InputError({file, {}}, {"is empty", "the run that wrote it did not finish", "run again"});
  }
}

void expect_no_writer(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  const bool is_locked = flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(descriptor);
  if (!is_locked) return;
  throw InputError({file, {}},
                   {"is open for writing in another program",
                    "which has locked it and may have half of it written", "close it there"});
}

File open_file(const std::filesystem::path& file) {
  const Where where{file, {}};
  Properties properties = access(where);
  File opened(H5Fopen(file.c_str(), H5F_ACC_RDONLY, properties.get()));
  if (opened.get() < 0) expect_no_writer(file);
  if (opened.get() < 0) fail_read(where, "cannot be opened as HDF5");
  close_read(where, properties);
  return opened;
}

Type string_type() {
  Type type(check_write(H5Tcopy(H5T_C_S1), {}));
  check_write(H5Tset_size(type.get(), H5T_VARIABLE), {});
  check_write(H5Tset_cset(type.get(), H5T_CSET_UTF8), {});
  return type;
}

Type bool_type() {
  Type type(check_write(H5Tenum_create(H5T_NATIVE_INT8), {}));
  std::int8_t value = 0;
  check_write(H5Tenum_insert(type.get(), "FALSE", &value), {});
  value = 1;
  check_write(H5Tenum_insert(type.get(), "TRUE", &value), {});
  return type;
}

void write_attribute(hid_t object, const char* name, hid_t stored, hid_t memory, const void* value,
                     const Where& where) {
  Space space(check_write(H5Screate(H5S_SCALAR), where));
  Attribute attribute(
      check_write(H5Acreate2(object, name, stored, space.get(), H5P_DEFAULT, H5P_DEFAULT), where));
  check_write(H5Awrite(attribute.get(), memory, value), where);
  close_written(where, attribute, space);
}

void write_attribute(hid_t object, const char* name, const std::string& value, const Where& where) {
  Type type = string_type();
  const char* text = value.c_str();
  write_attribute(object, name, type.get(), type.get(), &text, where);
  close_written(where, type);
}

void write_attribute(hid_t object, const char* name, bool value, const Where& where) {
  Type type = bool_type();
  const std::int8_t stored = value ? 1 : 0;
  write_attribute(object, name, type.get(), type.get(), &stored, where);
  close_written(where, type);
}

Dataset create_dataset(hid_t file, const std::string& path, hid_t type,
                       const std::vector<hsize_t>& dims, std::size_t element_size,
                       const Where& where) {
  Properties links(check_write(H5Pcreate(H5P_LINK_CREATE), where));
  check_write(H5Pset_create_intermediate_group(links.get(), 1), where);
  check_write(H5Pset_char_encoding(links.get(), H5T_CSET_UTF8), where);

  const int rank = static_cast<int>(dims.size());
  Space space(check_write(
      rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims.data(), nullptr), where));

  Properties creation(check_write(H5Pcreate(H5P_DATASET_CREATE), where));
  constexpr hsize_t chunk_bytes = 1 << 20;
  hsize_t bytes = element_size;
  for (const hsize_t length : dims) bytes *= length;
  if (rank >= 3 && bytes > chunk_bytes) {
    // One chunk holds whole slices of the leading dimension.
    std::vector<hsize_t> chunk = dims;
    const hsize_t slice_bytes = bytes / dims[0];
    chunk[0] = std::max<hsize_t>(1, chunk_bytes / slice_bytes);
    check_write(H5Pset_chunk(creation.get(), rank, chunk.data()), where);
    check_write(H5Pset_shuffle(creation.get()), where);
    check_write(H5Pset_deflate(creation.get(), 1), where);
    check_write(H5Pset_fletcher32(creation.get()), where);
  }
  Dataset dataset(check_write(
      H5Dcreate2(file, path.c_str(), type, space.get(), links.get(), creation.get(), H5P_DEFAULT),
      where));
  close_written(where, creation, space, links);
  return dataset;
}

}  // namespace d2c::results::h5
