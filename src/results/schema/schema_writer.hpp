#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <hdf5_hl.h>

#include "files/hdf5.hpp"
#include "schema/meaning.hpp"
#include "schema/read_back.hpp"

namespace d2c::results {

/// Archive that writes what visit_schema walks over. See there.
class SchemaWriter {
 public:
  /// @param shown_as  name of the file in messages
  /// @param read_back  learns what is written; must outlive this object
  SchemaWriter(hid_t file, std::filesystem::path shown_as, ReadBack& read_back)
      : file_(file), shown_as_(std::move(shown_as)), read_back_(read_back) {}

  /// First: what kind of file this is.
  void header(const Schema& schema);
  /// Last: marks the file as whole, and closes what is open in it.
  void complete();

  /// Of the file as a whole.
  template <class T>
  void attribute(const char* name, const T& value) {
    h5::write_attribute(file_, name, value, where(name));
  }

  /// Defines a dimension by the values along it.
  template <class T>
  void scale(const std::string& axis, const std::string& path, const std::vector<T>& values,
             const Meaning& meaning) {
    D2C_EXPECTS(!axes_.contains(axis));
    axes_.emplace(axis, Axis{values.size(), write_scale(axis, path, values, meaning)});
  }

  /// Defines a dimension that is counted from 0.
  template <class Length>
  void index(const std::string& axis, const std::string& path, Length length,
             const Meaning& meaning) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(length));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int64_t>(i);
    scale(axis, path, values, meaning);
  }

  /// Repeats the values along a dimension inside a group, so that the group alone is a labelled
  /// table for tools that look for dimensions there (netCDF, xarray).
  template <class T>
  void local_scale(const std::string& axis, const std::string& path, const std::vector<T>& values,
                   const Meaning& meaning) {
    D2C_EXPECTS(!local_scales_.contains(path));
    local_scales_.emplace(path, write_scale(axis, path, values, meaning));
  }

  template <class T>
  void array(const std::string& path, std::initializer_list<const char*> axes,
             const std::vector<T>& values, const Meaning& meaning, Presence presence) {
    if (presence == Presence::optional && values.empty()) return;
    std::vector<hsize_t> dims;
    for (const char* axis : axes) dims.push_back(axes_.at(axis).length);
    h5::Dataset dataset = write(path, dims, values, meaning);
    unsigned position = 0;
    for (const char* axis : axes) attach(dataset, path, position++, axis);
    h5::close_written(where(path), dataset);
  }

  template <class T>
  void scalar(const std::string& path, const T& value, const Meaning& meaning) {
    h5::Dataset dataset = write(path, {}, std::vector<T>{value}, meaning);
    h5::close_written(where(path), dataset);
  }

  template <class Map>
  void names(const std::string&, const Map&) {}
  bool optional_group(const char*, bool is_there) { return is_there; }
  template <class T>
  bool optional_group(const char*, const std::optional<T>& group) {
    return group.has_value();
  }

 private:
  struct Axis {
    std::size_t length = 0;
    h5::Dataset scale;
  };

  [[nodiscard]] Where where(const std::string& path) const { return {shown_as_, path}; }

  template <class T>
  h5::Dataset write_scale(const std::string& axis, const std::string& path,
                          const std::vector<T>& values, const Meaning& meaning) {
    h5::Dataset dataset = write(path, {values.size()}, values, meaning);
    h5::check_write(H5DSset_scale(dataset.get(), axis.c_str()), where(path));
    return dataset;
  }

  template <class T>
  h5::Dataset write(const std::string& path, const std::vector<hsize_t>& dims,
                    const std::vector<T>& values, const Meaning& meaning) {
    check_size(path, dims, values.size());
    h5::Dataset dataset =
        h5::create_dataset(file_, path, h5::file_type<T>(), dims, sizeof(T), where(path));
    h5::check_write(
        H5Dwrite(dataset.get(), h5::memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
        where(path));
    read_back_.note(path, std::span(values));
    describe(dataset, path, meaning);
    if (std::is_floating_point_v<T> && !meaning.comment.empty()) {
      h5::write_attribute(dataset.get(), "_FillValue", std::numeric_limits<double>::quiet_NaN(),
                          where(path));
    }
    return dataset;
  }
  h5::Dataset write(const std::string& path, const std::vector<hsize_t>& dims,
                    const std::vector<std::string>& values, const Meaning& meaning);

  static void check_size(const std::string& path, const std::vector<hsize_t>& dims,
                         std::size_t size);
  void describe(const h5::Dataset& dataset, const std::string& path, const Meaning& meaning);
  void attach(const h5::Dataset& dataset, const std::string& path, unsigned position,
              const std::string& axis);

  hid_t file_;
  std::filesystem::path shown_as_;
  ReadBack& read_back_;
  std::map<std::string, Axis> axes_;
  std::map<std::string, h5::Dataset> local_scales_;  ///< by path: group/axis
};

}  // namespace d2c::results
