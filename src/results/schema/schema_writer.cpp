#include "schema/schema_writer.hpp"

#include <fmt/format.h>

namespace d2c::results {

void SchemaWriter::header(const Schema& schema) {
  attribute("schema", std::string(schema.name));
  attribute("schema_version", schema.version);
}

void SchemaWriter::complete() {
  attribute("complete", true);
  for (auto& [name, axis] : axes_) h5::close_written(where(name), axis.scale);
  for (auto& [path, scale] : local_scales_) h5::close_written(where(path), scale);
}

h5::Dataset SchemaWriter::write(const std::string& path, const std::vector<hsize_t>& dims,
                                const std::vector<std::string>& values, const Meaning& meaning) {
  check_size(path, dims, values.size());
  std::vector<const char*> texts;
  texts.reserve(values.size());
  for (const std::string& value : values) texts.push_back(value.c_str());
  h5::Type type = h5::string_type();
  h5::Dataset dataset =
      h5::create_dataset(file_, path, type.get(), dims, sizeof(char*), where(path));
  h5::check_write(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()),
                  where(path));
  h5::close_written(where(path), type);
  read_back_.note(path, std::span(values));
  describe(dataset, path, meaning);
  return dataset;
}

void SchemaWriter::check_size(const std::string& path, const std::vector<hsize_t>& dims,
                              std::size_t size) {
  hsize_t expected = 1;
  for (const hsize_t length : dims) expected *= length;
  if (size != expected) {
    throw ContractError(
        fmt::format("results: {} has {} values, its dimensions need {}", path, size, expected));
  }
}

void SchemaWriter::describe(const h5::Dataset& dataset, const std::string& path,
                            const Meaning& meaning) {
  const auto write_text = [&](const char* name, const std::string& text) {
    if (!text.empty()) h5::write_attribute(dataset.get(), name, text, where(path));
  };
  write_text("long_name", meaning.long_name);
  write_text("units", meaning.units);
  write_text("comment", meaning.comment);
}

void SchemaWriter::attach(const h5::Dataset& dataset, const std::string& path, unsigned position,
                          const std::string& axis) {
  const Axis& global = axes_.at(axis);
  h5::check_write(H5DSset_label(dataset.get(), position, axis.c_str()), where(path));
  h5::check_write(H5DSattach_scale(dataset.get(), global.scale.get(), position), where(path));
  // netCDF takes the last scale of a dimension as its dimension.
  const auto local = local_scales_.find(path.substr(0, path.rfind('/') + 1) + axis);
  if (local != local_scales_.end()) {
    h5::check_write(H5DSattach_scale(dataset.get(), local->second.get(), position), where(path));
  }
}

}  // namespace d2c::results
