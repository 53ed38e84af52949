#include "d2c/results/writer.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "schema_writer.hpp"

namespace d2c::results {

namespace fs = std::filesystem;

struct ResultsWriter::State {
  fs::path file;
  IfExists if_exists;
  fs::path temporary;
  h5::File open;
};

namespace {

void refuse_existing(const fs::path& file, IfExists if_exists, const std::string& fix) {
  std::error_code ignored;
  if (if_exists == IfExists::refuse && fs::exists(file, ignored)) {
    throw InputError({file, {}}, {"exists already", "results are not overwritten unasked", fix});
  }
}

/// One factor; its dimensions have names but no values along them.
void write_factor(hid_t file, const std::string& path, const Where& where, MatrixView matrix,
                  const char* const labels[2], const std::string& long_name) {
  const std::vector<hsize_t> dims = {static_cast<hsize_t>(matrix.rows),
                                     static_cast<hsize_t>(matrix.cols)};
  if (dims[0] * dims[1] != matrix.values.size()) {
    throw ContractError(fmt::format("results: {} has {} values for [{}, {}]", path,
                                    matrix.values.size(), matrix.rows, matrix.cols));
  }
  const h5::Dataset dataset =
      h5::create_dataset(file, path, h5::file_type<float>(), dims, sizeof(float), where);
  h5::check_write(H5Dwrite(dataset.get(), h5::memory_type<float>(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                           matrix.values.data()),
                  where);
  h5::check_write(H5DSset_label(dataset.get(), 0, labels[0]), where);
  h5::check_write(H5DSset_label(dataset.get(), 1, labels[1]), where);
  h5::write_attribute(dataset.get(), "long_name", long_name, where);
  h5::write_attribute(dataset.get(), "units", std::string("1"), where);
}

}  // namespace

ResultsWriter::ResultsWriter(fs::path file, IfExists if_exists) {
  const h5::QuietErrors quiet;
  refuse_existing(file, if_exists, "choose another output or ask for it to be replaced");
  fs::path temporary = h5::temporary_name(file);
  h5::File open = h5::create_file(temporary);
  state_ = std::make_unique<State>(
      State{std::move(file), if_exists, std::move(temporary), std::move(open)});
}

ResultsWriter::~ResultsWriter() {
  const h5::QuietErrors quiet;
  state_->open.reset();
  if (!state_->temporary.empty()) {
    std::error_code ignored;
    fs::remove(state_->temporary, ignored);
  }
}

void ResultsWriter::add_merged(int cluster, std::string_view module, MatrixView a, MatrixView b) {
  const h5::QuietErrors quiet;
  if (a.rows != b.cols || module.empty() || module.find('/') != std::string_view::npos) {
    throw ContractError(fmt::format("results: module '{}': A [{}, {}] and B [{}, {}] do not fit",
                                    module, a.rows, a.cols, b.rows, b.cols));
  }
  const auto group = fmt::format("merged/{}/{}", cluster, module);
  const Where where{state_->file, group};
  static constexpr const char* labels_a[] = {"rank", "d_in"};
  static constexpr const char* labels_b[] = {"d_out", "rank"};
  write_factor(state_->open.get(), group + "/A", where, a, labels_a,
               "LoRA factor A of the merged adapter: delta W = B A");
  write_factor(state_->open.get(), group + "/B", where, b, labels_b,
               "LoRA factor B of the merged adapter: delta W = B A");
}

void ResultsWriter::finish(const RunResults& results) {
  const h5::QuietErrors quiet;
  D2C_EXPECTS(state_->open.get() >= 0);
  const Where where{state_->file, {}};
  const hid_t root = state_->open.get();
  h5::write_attribute(root, "schema", std::string(schema_name), where);
  h5::write_attribute(root, "schema_version", schema_version, where);
  {
    SchemaWriter archive(root, state_->file);
    visit_schema(archive, results);
  }
  h5::write_attribute(root, "complete", true, where);
  h5::check_write(H5Fflush(root, H5F_SCOPE_LOCAL), where);
  h5::check_write(state_->open.reset(), where);

  const fs::path temporary = std::exchange(state_->temporary, {});
  refuse_existing(state_->file, state_->if_exists,
                  "the results of this run are in " + temporary.string());
  h5::publish(temporary, state_->file);
}

void write_results(const fs::path& file, const RunResults& results, IfExists if_exists) {
  ResultsWriter(file, if_exists).finish(results);
}

}  // namespace d2c::results
