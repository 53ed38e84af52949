#include "d2c/results/writer.hpp"

#include <string>

#include <fmt/format.h>

#include "schema/schema.hpp"
#include "schema/schema_file.hpp"

namespace d2c::results {

namespace fs = std::filesystem;

struct ResultsWriter::State : SchemaFile {
  using SchemaFile::SchemaFile;
};

namespace {

/// One factor; its dimensions have names but no values along them.
void write_factor(SchemaFile& file, const std::string& path, const Where& where, MatrixView matrix,
                  const char* const labels[2], const std::string& long_name) {
  const std::vector<hsize_t> dims = {static_cast<hsize_t>(matrix.rows),
                                     static_cast<hsize_t>(matrix.cols)};
  if (dims[0] * dims[1] != matrix.values.size()) {
    throw ContractError(fmt::format("results: {} has {} values for [{}, {}]", path,
                                    matrix.values.size(), matrix.rows, matrix.cols));
  }
  h5::Dataset dataset =
      h5::create_dataset(file.content(), path, h5::file_type<float>(), dims, sizeof(float), where);
  h5::check_write(H5Dwrite(dataset.get(), h5::memory_type<float>(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                           matrix.values.data()),
                  where);
  h5::check_write(H5DSset_label(dataset.get(), 0, labels[0]), where);
  h5::check_write(H5DSset_label(dataset.get(), 1, labels[1]), where);
  h5::write_attribute(dataset.get(), "long_name", long_name, where);
  h5::write_attribute(dataset.get(), "units", std::string("1"), where);
  h5::close_written(where, dataset);
  file.read_back().note(path, std::span<const float>(matrix.values));
}

void check_assignments(const RunResults& results) {
  for (const auto* assignment : {&results.result.assignment, &results.iterations.assignment}) {
    if (!is_assignment(*assignment, results.n_clusters)) {
      throw ContractError("results: an assignment names a cluster that does not exist");
    }
  }
}

}  // namespace

ResultsWriter::ResultsWriter(const fs::path& file) {
  const h5::QuietErrors quiet;
  state_ = std::make_unique<State>(file);
}

ResultsWriter::~ResultsWriter() {
  const h5::QuietErrors quiet;
  state_.reset();
}

void ResultsWriter::add_merged(int cluster, std::string_view module, MatrixView a, MatrixView b) {
  const h5::QuietErrors quiet;
  if (a.rows != b.cols || module.empty() || module.find('/') != std::string_view::npos) {
    throw ContractError(fmt::format("results: module '{}': A [{}, {}] and B [{}, {}] do not fit",
                                    module, a.rows, a.cols, b.rows, b.cols));
  }
  const auto group = fmt::format("merged/{}/{}", cluster, module);
  const Where where{state_->pending().place(), group};
  static constexpr const char* labels_a[] = {"rank", "d_in"};
  static constexpr const char* labels_b[] = {"d_out", "rank"};
  write_factor(*state_, group + "/A", where, a, labels_a,
               "LoRA factor A of the merged adapter: delta W = B A");
  write_factor(*state_, group + "/B", where, b, labels_b,
               "LoRA factor B of the merged adapter: delta W = B A");
}

void ResultsWriter::complete(const RunResults& results) {
  const h5::QuietErrors quiet;
  check_assignments(results);
  state_->complete(results_schema, [&](SchemaWriter& archive) { visit_schema(archive, results); });
}

fs::path ResultsWriter::partial() const { return state_->pending().path(); }

fs::path ResultsWriter::release() {
  state_->pending().keep();
  return partial();
}

}  // namespace d2c::results
