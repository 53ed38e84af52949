#include "schema/schema_reader.hpp"

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
    expect_class(type.get(), "complete", H5T_ENUM);
    h5::Type memory = h5::bool_type();
    h5::check_read(H5Aread(attribute.get(), memory.get(), &complete), where("complete"));
    h5::close_read(where("complete"), memory, type, attribute);
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
    if (end == std::string::npos) return true;
  }
}

std::vector<std::string> SchemaReader::children(const std::string& group) const {
  h5::Group opened(h5::check_read(H5Gopen2(open_.get(), group.c_str(), H5P_DEFAULT), where(group)));
  H5G_info_t info;
  h5::check_read(H5Gget_info(opened.get(), &info), where(group));
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const auto name_of = [&](char* buffer, std::size_t size) {
      return h5::check_read(H5Lget_name_by_idx(opened.get(), ".", H5_INDEX_NAME, H5_ITER_INC, i,
                                               buffer, size, H5P_DEFAULT),
                            where(group));
    };
    std::string name(static_cast<std::size_t>(name_of(nullptr, 0)), '\0');
    name_of(name.data(), name.size() + 1);
    names.push_back(std::move(name));
  }
  h5::close_read(where(group), opened);
  return names;
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

void SchemaReader::expect_class(hid_t type, const std::string& item, H5T_class_t expected) const {
  if (H5Tget_class(type) != expected) refuse(item, "has a type that does not belong here");
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
  char* text = nullptr;
  h5::Type memory = h5::string_type();
  h5::check_read(H5Aread(attribute.get(), memory.get(), &text), where(name));
  std::string value = text == nullptr ? "" : text;
  h5::check_read(H5free_memory(text), where(name));
  h5::close_read(where(name), memory, type, attribute);
  return value;
}

void SchemaReader::read(const h5::Dataset& dataset, const std::string& path,
                        const std::vector<hsize_t>& dims, std::vector<std::string>& values) const {
  h5::Type stored(h5::check_read(H5Dget_type(dataset.get()), where(path)));
  if (H5Tis_variable_str(stored.get()) <= 0) refuse(path, "is not text of variable length");
  h5::Type type = h5::string_type();
  std::vector<char*> texts(count(path, dims, sizeof(char*)));
  h5::check_read(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()),
                 where(path));
  values.clear();
  for (const char* text : texts) values.emplace_back(text == nullptr ? "" : text);
  h5::Space space(h5::check_read(H5Dget_space(dataset.get()), where(path)));
  // HDF5 takes an empty buffer for an error.
  if (!texts.empty()) {
    h5::check_read(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, texts.data()),
                   where(path));
  }
  h5::close_read(where(path), space, type, stored);
}

}  // namespace d2c::results
