#include "schema/schema_reader.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "files/seal.hpp"

namespace d2c::results {

SchemaReader::SchemaReader(std::filesystem::path file, SealRule rule) : file_(std::move(file)) {
  h5::expect_file(file_);
  const Seal seal = rule == SealRule::was_checked ? Seal::fits : check_seal(file_);
  if (seal == Seal::broken || (seal == Seal::absent && rule == SealRule::required)) {
    h5::expect_no_writer(file_);
    throw InputError({file_, {}}, {"is damaged", "its checksum does not fit its content",
                                   "restore the file or run again"});
  }
  open_ = h5::open_file(file_);
  heap_ = std::make_unique<h5::TextHeap>(file_);
  file_bytes_ = std::filesystem::file_size(file_);
}

void SchemaReader::check_header(const Schema& schema) const {
  if (H5Aexists(open_.get(), "schema") <= 0 || text_attribute("schema") != schema.name) {
    throw InputError({file_, {}}, {fmt::format("is not a {} file", schema.name),
                                   fmt::format("its attribute schema is not {}", schema.name),
                                   "check the path"});
  }
  const auto version = number_attribute<std::int64_t>("schema_version");
  if (version != schema.version) {
    throw InputError(where("schema_version"),
                     {fmt::format("is {}", version),
                      fmt::format("this program reads version {}", schema.version),
                      version > schema.version ? "use a newer d2c" : "write the file again"});
  }
  std::int8_t complete = 0;
  if (H5Aexists(open_.get(), "complete") > 0) {
    h5::Attribute attribute = open_attribute("complete");
    h5::Type type(h5::check_read(H5Aget_type(attribute.get()), where("complete")));
    h5::Type stored(h5::check_read(H5Tget_super(type.get()), where("complete")));
    if (H5Tget_class(type.get()) != H5T_ENUM || H5Tget_nmembers(type.get()) != 2 ||
        H5Tequal(stored.get(), H5T_STD_I8LE) <= 0) {
      refuse("complete", "is not a truth value");
    }
    h5::Type memory = h5::bool_type();
    h5::check_read(H5Aread(attribute.get(), memory.get(), &complete), where("complete"));
    h5::close_read(where("complete"), memory, stored, type, attribute);
  }
  if (complete != 1) {
    throw InputError(where("complete"),
                     {"is not set", "the run that wrote the file did not finish", "run again"});
  }
}

bool SchemaReader::exists(const std::string& path) const {
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (h5::check_read(H5Lexists(open_.get(), prefix.c_str(), H5P_DEFAULT), where(path)) == 0) {
      return false;
    }
    H5L_info_t link;
    h5::check_read(H5Lget_info(open_.get(), prefix.c_str(), &link, H5P_DEFAULT), where(path));
    if (link.type != H5L_TYPE_HARD) refuse(prefix, "is a link to another place");
    if (end == std::string::npos) return true;
  }
}

std::vector<std::string> SchemaReader::children(const std::string& group) const {
  h5::Group opened(h5::check_read(H5Gopen2(open_.get(), group.c_str(), H5P_DEFAULT), where(group)));
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return 0;
  };
  h5::check_read(H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names),
                 where(group));
  h5::close_read(where(group), opened);
  return names;
}

void SchemaReader::read_attributes() const {
  std::vector<std::string> paths;
  const auto take = [](hid_t, const char* name, const auto*, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return 0;
  };
  h5::check_read(H5Ovisit1(open_.get(), H5_INDEX_NAME, H5_ITER_INC, take, &paths), where("/"));
  std::vector<std::byte> value;
  for (const std::string& path : paths) {
    h5::Object object(h5::check_read(H5Oopen(open_.get(), path.c_str(), H5P_DEFAULT), where(path)));
    const int n = h5::check_read(H5Aget_num_attrs(object.get()), where(path));
    for (int i = 0; i < n; ++i) {
      h5::Attribute attribute(
          h5::check_read(H5Aopen_by_idx(object.get(), ".", H5_INDEX_NAME, H5_ITER_INC,
                                        static_cast<hsize_t>(i), H5P_DEFAULT, H5P_DEFAULT),
                         where(path)));
      h5::Type type(h5::check_read(H5Aget_type(attribute.get()), where(path)));
      h5::Space space(h5::check_read(H5Aget_space(attribute.get()), where(path)));
      // HDF5 does not survive damage to what variable-length values point to.
      if (H5Tdetect_class(type.get(), H5T_VLEN) == 0 && H5Tis_variable_str(type.get()) == 0) {
        const auto points = h5::check_read(H5Sget_simple_extent_npoints(space.get()), where(path));
        value.resize(static_cast<std::size_t>(points) * H5Tget_size(type.get()));
        h5::check_read(H5Aread(attribute.get(), type.get(), value.data()), where(path));
      }
      h5::close_read(where(path), attribute, type, space);
    }
    h5::close_read(where(path), object);
  }
}

void SchemaReader::refuse(const std::string& item, const std::string& what) const {
  throw InputError(where(item), {what, "the schema of the file does not allow it",
                                 "restore the file or run again"});
}

h5::Dataset SchemaReader::open(const std::string& path) const {
  if (!exists(path)) refuse(path, "is missing");
  return h5::Dataset(h5::check_read(H5Dopen2(open_.get(), path.c_str(), H5P_DEFAULT), where(path)));
}

std::vector<hsize_t> SchemaReader::dims_of(const h5::Dataset& dataset,
                                           const std::string& path) const {
  h5::Space space(h5::check_read(H5Dget_space(dataset.get()), where(path)));
  const int rank = h5::check_read(H5Sget_simple_extent_ndims(space.get()), where(path));
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  h5::check_read(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), where(path));
  h5::close_read(where(path), space);
  return dims;
}

std::size_t SchemaReader::count(const std::string& path, const std::vector<hsize_t>& dims,
                                std::size_t element_size) const {
  // Deflate shrinks by a factor of 1032 at most.
  const std::uintmax_t most = file_bytes_ * 1032 / element_size;
  std::uintmax_t product = 1;
  for (const hsize_t length : dims) {
    if (__builtin_mul_overflow(product, length, &product) || product > most) {
      refuse(path, "claims more values than the file can hold");
    }
  }
  return product;
}

void SchemaReader::expect_number(hid_t type, const std::string& item, bool is_float) const {
  const auto is_one_of = [&](std::initializer_list<hid_t> known) {
    return std::ranges::any_of(known, [&](hid_t one) { return H5Tequal(type, one) > 0; });
  };
  const bool fits =
      is_float ? is_one_of({H5T_IEEE_F64LE, H5T_IEEE_F32LE, H5T_IEEE_F64BE, H5T_IEEE_F32BE})
               : is_one_of({H5T_STD_I64LE, H5T_STD_I32LE, H5T_STD_U64LE, H5T_STD_U32LE,
                            H5T_STD_I16LE, H5T_STD_U16LE, H5T_STD_I8LE, H5T_STD_U8LE, H5T_STD_I64BE,
                            H5T_STD_I32BE, H5T_STD_U64BE, H5T_STD_U32BE});
  if (!fits) refuse(item, "has a type that does not belong here");
}

void SchemaReader::expect_own_storage(const h5::Dataset& dataset, const std::string& path,
                                      const std::vector<hsize_t>& dims) const {
  h5::Properties creation(h5::check_read(H5Dget_create_plist(dataset.get()), where(path)));
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  if (H5Pget_external_count(creation.get()) != 0 || layout == H5D_VIRTUAL) {
    refuse(path, "has its values in other files");
  }
  for (int i = 0; i < H5Pget_nfilters(creation.get()); ++i) {
    unsigned flags = 0;
    std::size_t n_values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                               &n_values, nullptr, 0, nullptr, nullptr);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
        filter != H5Z_FILTER_FLETCHER32) {
      refuse(path, "is stored by a filter that d2c does not use");
    }
  }
  if (layout == H5D_CHUNKED) {
    std::vector<hsize_t> chunk(dims.size());
    const int rank = H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data());
    const bool fits = std::ranges::equal(chunk, dims, [](hsize_t piece, hsize_t length) {
      return piece <= std::max<hsize_t>(length, 1);
    });
    if (std::cmp_not_equal(rank, dims.size()) || !fits) {
      refuse(path, "has pieces that are larger than itself");
    }
  }
  h5::close_read(where(path), creation);
}

h5::Attribute SchemaReader::open_attribute(const char* name) const {
  if (h5::check_read(H5Aexists(open_.get(), name), where(name)) == 0) refuse(name, "is missing");
  h5::Attribute attribute(h5::check_read(H5Aopen(open_.get(), name, H5P_DEFAULT), where(name)));
  h5::Space space(h5::check_read(H5Aget_space(attribute.get()), where(name)));
  if (H5Sget_simple_extent_npoints(space.get()) != 1) refuse(name, "is not one value");
  h5::close_read(where(name), space);
  return attribute;
}

std::string SchemaReader::text_attribute(const char* name) const {
  h5::Attribute attribute = open_attribute(name);
  h5::Type type(h5::check_read(H5Aget_type(attribute.get()), where(name)));
  if (H5Tis_variable_str(type.get()) <= 0) refuse(name, "is not a text of variable length");
  std::array<std::byte, h5::reference_bytes> reference{};
  h5::Type memory = h5::reference_type();
  h5::check_read(H5Aread(attribute.get(), memory.get(), reference.data()), where(name));
  h5::close_read(where(name), memory, type, attribute);
  return std::move(heap_->texts(reference, where(name)).front());
}

void SchemaReader::read(const h5::Dataset& dataset, const std::string& path,
                        const std::vector<hsize_t>& dims, std::vector<std::string>& values) const {
  h5::Type stored(h5::check_read(H5Dget_type(dataset.get()), where(path)));
  if (H5Tis_variable_str(stored.get()) <= 0) refuse(path, "is not text of variable length");
  expect_own_storage(dataset, path, dims);
  h5::Type type = h5::reference_type();
  std::vector<std::byte> references(count(path, dims, h5::reference_bytes) * h5::reference_bytes);
  h5::check_read(
      H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, references.data()),
      where(path));
  values = heap_->texts(references, where(path));
  h5::close_read(where(path), type, stored);
}

}  // namespace d2c::results
