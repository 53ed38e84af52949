#include "d2c/results/library.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/core/readable.hpp"

#include "files/seal.hpp"
#include "schema/schema_reader.hpp"
#include "schema/schema_writer.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

constexpr Schema library_schema{"d2c-library", 1};
constexpr hsize_t page = 4096;
constexpr const char* restore = "restore the file, or pack it again";

template <class Archive, class Index>
void visit_library(Archive& archive, Index& index) {
  archive.attribute("software_version", index.version);
  archive.attribute("git_commit", index.git_commit);
  archive.attribute("created_utc", index.created_utc);
  archive.scale("adapter", "adapter/name", index.name, {"name of the adapter", "", ""});
  const auto row = [&](const char* path, auto& values, const char* meaning, const char* units) {
    archive.array(path, {"adapter"}, values, {meaning, units, ""}, Presence::required);
  };
  row("adapter/source", index.source, "folder that the adapter was packed from", "");
  row("adapter/base_model", index.base_model, "base_model_name_or_path of the configuration", "");
  row("adapter/dtype", index.dtype, "type of the stored factors", "");
  row("adapter/begin", index.begin, "start of the record in /data", "bytes");
  row("adapter/config_bytes", index.config_bytes,
      "length of adapter_config.json, where the record starts", "bytes");
  row("adapter/tensors_begin", index.tensors_begin,
      "start of adapter_model.safetensors, from the start of the record", "bytes");
  row("adapter/tensors_bytes", index.tensors_bytes, "length of adapter_model.safetensors", "bytes");
  row("adapter/checksum", index.checksum,
      "CRC-32 (zlib) of the record: tensors_begin + tensors_bytes bytes", "1");
  row("adapter/fingerprint", index.fingerprint,
      "hash of names, shapes, values and scalings: equal for equal content", "1");
  archive.scale("module", "module/name", index.module,
                {"module of the base model that an adapter changes", "", ""});
  archive.array("module/d_out", {"module"}, index.d_out, {"rows of the module's weight", "1", ""},
                Presence::required);
  archive.array("module/d_in", {"module"}, index.d_in, {"columns of the module's weight", "1", ""},
                Presence::required);
  archive.array("rank", {"adapter", "module"}, index.rank,
                {"rank r of the factors A [r, d_in], B [d_out, r]; 0 = not changed", "1", ""},
                Presence::required);
}

/// The dataset `data`, of which HDF5 writes nothing but the description.
std::uint64_t create_data(hid_t file, std::uint64_t bytes, const Where& where) {
  const hsize_t length = bytes;
  h5::Space space(h5::check_write(H5Screate_simple(1, &length, nullptr), where));
  h5::Properties creation(h5::check_write(H5Pcreate(H5P_DATASET_CREATE), where));
  h5::check_write(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), where);
  h5::check_write(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), where);
  h5::check_write(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), where);
  h5::Dataset dataset(h5::check_write(
      H5Dcreate2(file, "data", H5T_STD_U8LE, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
      where));
  h5::write_attribute(dataset.get(), "long_name",
                      std::string("records of the adapters, each found by /adapter/begin"), where);
  h5::write_attribute(dataset.get(), "units", std::string("1"), where);
  const std::uint64_t begin = H5Dget_offset(dataset.get());
  h5::close_written(where, dataset, creation, space);
  return begin;
}

/// Copies bytes [begin, end) of one file to the same place of another.
void copy_range(const InputFile& from, const WritableFile& to, std::uint64_t begin,
                std::uint64_t end) {
  std::vector<std::byte> block(1 << 20);
  while (begin < end) {
    const auto part = std::span(block).first(std::min<std::uint64_t>(end - begin, block.size()));
    from.read(begin, part);
    to.write(begin, part);
    begin += part.size();
  }
}

/// HDF5's description of a library, in a file of its own that has a hole in place of the records.
void write_frame(const fs::path& frame, const fs::path& shown_as, const LibraryIndex& index,
                 Hole hole, ReadBack& read_back) {
  h5::OutputFile open(shown_as, frame, {page, false});
  const std::uint64_t begin = create_data(open.get(), index.data_bytes, {shown_as});
  if (begin != hole.begin) {
    throw ContractError(fmt::format("results: HDF5 puts the data of a library at {}, not at {}",
                                    begin, hole.begin));
  }
  SchemaWriter archive(open.get(), shown_as, read_back);
  archive.header(library_schema);
  visit_library(archive, index);
  archive.complete();
  open.close();
}

void check_ranges(const SchemaReader& archive, const LibraryIndex& index) {
  const std::set<std::string> names(index.name.begin(), index.name.end());
  if (names.size() != index.name.size()) archive.refuse("adapter/name", "holds a name twice");
  for (std::size_t i = 0; i < index.n_adapters(); ++i) {
    if (!is_readable(index.name[i])) {
      archive.refuse(fmt::format("adapter/name[{}]", i), "has control characters");
    }
    std::uint64_t end = 0;
    if (__builtin_add_overflow(index.tensors_begin[i], index.tensors_bytes[i], &end) ||
        __builtin_add_overflow(end, index.begin[i], &end) || end > index.data_bytes ||
        index.config_bytes[i] > index.tensors_begin[i]) {
      archive.refuse(fmt::format("adapter/begin[{}]", i), "names bytes that are not in data");
    }
  }
}

bool is_hdf5(const fs::path& file) {
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  const InputFile in(file);
  if (in.size() < signature.size()) return false;
  return std::ranges::equal(in.read(0, signature.size()), std::as_bytes(std::span(signature)));
}

}  // namespace

std::uint64_t library_data_begin() {
  // HDF5 puts what it needs at the start into whole pages; how many depends on its version alone.
  static const std::uint64_t begin = [] {
    const h5::QuietErrors quiet;
    h5::OutputFile probe("library", "library", {page, true});
    const std::uint64_t in_probe = create_data(probe.get(), page, {});
    probe.close();
    return in_probe;
  }();
  return begin;
}

void finish_library(const WritableFile& file, const LibraryIndex& index) {
  D2C_EXPECTS(index.data_bytes > 0 && index.data_bytes % page == 0);
  const h5::QuietErrors quiet;
  const Hole hole{library_data_begin(), library_data_begin() + index.data_bytes};
  const PendingFile frame(file.path().string() + ".frame");  // never published
  ReadBack read_back;
  write_frame(frame.alias(), file.shown_as(), index, hole, read_back);

  file.resize(hole.end);
  const InputFile from(frame.alias());
  copy_range(from, file, 0, hole.begin);
  copy_range(from, file, hole.end, from.size());
  const std::string seal = seal_line(file.path(), hole);
  file.write(from.size(), std::as_bytes(std::span(seal)));
  file.sync();
  if (!check_holed_seal(file.path())) {
    refuse_lost_write({file.shown_as()}, "its checksum does not fit");
  }
  read_back.check(file.path(), file.shown_as());
}

LibraryIndex read_library(const fs::path& file) {
  const h5::QuietErrors quiet;
  h5::expect_file(file);
  const auto hole = check_holed_seal(file);
  if (!hole && !is_hdf5(file)) {
    throw InputError({file, {}}, {"is not a library of adapters", "it is not even an HDF5 file",
                                  "give a file made by `d2c pack`"});
  }
  if (!hole) {
    throw InputError({file, {}},
                     {"is not a whole library of adapters",
                      "the checksum that ends one is missing or does not fit", restore});
  }
  SchemaReader archive(file, SchemaReader::SealRule::was_checked);
  archive.check_header(library_schema);
  LibraryIndex index;
  visit_library(archive, index);
  index.data_begin = hole->begin;
  index.data_bytes = hole->end - hole->begin;
  check_ranges(archive, index);
  return index;
}

}  // namespace d2c::results
