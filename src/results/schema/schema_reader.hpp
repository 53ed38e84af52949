#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "files/hdf5.hpp"
#include "files/text_heap.hpp"
#include "schema/meaning.hpp"

namespace d2c::results {

/// Archive that reads what visit_schema walks over. Types and dimensions are checked before
/// anything is read, so that a damaged or foreign file is an error and not a surprise.
class SchemaReader {
 public:
  enum class SealRule { may_be_absent, required, was_checked };
  /// Opens the file and verifies its seal, where it has one. Schema and completeness are checked
  /// by check_header.
  explicit SchemaReader(std::filesystem::path file, SealRule rule = SealRule::may_be_absent);

  /// @throws InputError unless this is a whole file of this schema and version
  void check_header(const Schema& schema) const;

  template <class T>
  void attribute(const char* name, T& value) const {
    if constexpr (std::is_same_v<T, std::string>) {
      value = text_attribute(name);
    } else {
      const auto number =
          number_attribute<std::conditional_t<std::is_unsigned_v<T>, std::uint64_t, std::int64_t>>(
              name);
      if (!std::in_range<T>(number)) refuse(name, "is out of range");
      value = static_cast<T>(number);
    }
  }

  template <class T>
  void scale(const std::string& axis, const std::string& path, std::vector<T>& values,
             const Meaning&) {
    h5::Dataset dataset = open(path);
    const auto dims = dims_of(dataset, path);
    if (dims.size() != 1) refuse(path, "has more than one dimension");
    axes_[axis] = dims[0];
    read(dataset, path, dims, values);
    h5::close_read(where(path), dataset);
  }

  template <class Length>
  void index(const std::string& axis, const std::string& path, Length& length,
             const Meaning& meaning) {
    std::vector<std::int64_t> values;
    scale(axis, path, values, meaning);
    if (!std::in_range<Length>(values.size())) refuse(path, "is too long");
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::cmp_equal(values[i], i)) refuse(path, "does not count from 0 in steps of 1");
    }
    length = static_cast<Length>(values.size());
  }

  template <class T>
  void local_scale(const std::string&, const std::string&, const std::vector<T>&, const Meaning&) {}

  template <class T>
  void array(const std::string& path, std::initializer_list<const char*> axes,
             std::vector<T>& values, const Meaning&, Presence presence) {
    if (presence == Presence::optional && !exists(path)) return;
    h5::Dataset dataset = open(path);
    std::vector<hsize_t> expected;
    for (const char* axis : axes) expected.push_back(axes_.at(axis));
    if (dims_of(dataset, path) != expected) refuse(path, "does not have the length of its scales");
    read(dataset, path, expected, values);
    h5::close_read(where(path), dataset);
  }

  template <class T>
  void scalar(const std::string& path, T& value, const Meaning&) {
    h5::Dataset dataset = open(path);
    if (!dims_of(dataset, path).empty()) refuse(path, "is not a scalar");
    std::vector<T> values;
    read(dataset, path, {}, values);
    h5::close_read(where(path), dataset);
    value = values.front();
  }

  /// All values of a dataset of any shape.
  template <class T>
  void values(const std::string& path, std::vector<T>& values) const {
    h5::Dataset dataset = open(path);
    read(dataset, path, dims_of(dataset, path), values);
    h5::close_read(where(path), dataset);
  }
  /// Keys of a map that is stored as one dataset per key.
  template <class Map>
  void names(const std::string& group, Map& map) const {
    if (!exists(group)) return;
    for (const std::string& name : children(group)) {
      if (name != "task") map[name];
    }
  }

  bool optional_group(const char* group, bool) const { return exists(group); }
  template <class T>
  bool optional_group(const char* group, std::optional<T>& content) const {
    if (exists(group)) content.emplace();
    return content.has_value();
  }

  [[nodiscard]] bool exists(const std::string& path) const;
  [[nodiscard]] std::vector<std::string> children(const std::string& group) const;
  /// Reads the attributes of all objects, but for values of variable length. @throws InputError
  /// that names the first that is damaged
  void read_attributes() const;
  [[noreturn]] void refuse(const std::string& item, const std::string& what) const;

 private:
  [[nodiscard]] Where where(const std::string& path) const { return {file_, path}; }
  [[nodiscard]] h5::Dataset open(const std::string& path) const;
  [[nodiscard]] std::vector<hsize_t> dims_of(const h5::Dataset& dataset,
                                             const std::string& path) const;
  /// Number of values; refuses more than the file can hold.
  [[nodiscard]] std::size_t count(const std::string& path, const std::vector<hsize_t>& dims,
                                  std::size_t element_size) const;
  void expect_number(hid_t type, const std::string& item, bool is_float) const;
  /// Nothing but this file, by the means of HDF5 itself, and in pieces of sensible size.
  void expect_own_storage(const h5::Dataset& dataset, const std::string& path,
                          const std::vector<hsize_t>& dims) const;

  [[nodiscard]] h5::Attribute open_attribute(const char* name) const;
  [[nodiscard]] std::string text_attribute(const char* name) const;
  template <class T>
  [[nodiscard]] T number_attribute(const char* name) const {
    h5::Attribute attribute = open_attribute(name);
    h5::Type type(h5::check_read(H5Aget_type(attribute.get()), where(name)));
    expect_number(type.get(), name, false);
    T value = 0;
    h5::check_read(H5Aread(attribute.get(), h5::memory_type<T>(), &value), where(name));
    h5::close_read(where(name), type, attribute);
    return value;
  }

  template <class T>
  void read(const h5::Dataset& dataset, const std::string& path, const std::vector<hsize_t>& dims,
            std::vector<T>& values) const {
    h5::Type type(h5::check_read(H5Dget_type(dataset.get()), where(path)));
    expect_number(type.get(), path, std::is_floating_point_v<T>);
    expect_own_storage(dataset, path, dims);
    values.resize(count(path, dims, sizeof(T)));
    h5::check_read(
        H5Dread(dataset.get(), h5::memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
        where(path));
    h5::close_read(where(path), type);
  }
  void read(const h5::Dataset& dataset, const std::string& path, const std::vector<hsize_t>& dims,
            std::vector<std::string>& values) const;

  std::filesystem::path file_;
  std::uintmax_t file_bytes_ = 0;
  h5::File open_;
  std::unique_ptr<h5::TextHeap> heap_;
  std::map<std::string, hsize_t> axes_;
};

}  // namespace d2c::results
