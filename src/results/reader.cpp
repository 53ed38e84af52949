#include "d2c/results/reader.hpp"

#include <utility>

#include "schema/schema.hpp"
#include "schema/schema_reader.hpp"

namespace d2c::results {

namespace fs = std::filesystem;

namespace {

void check_assignment(const SchemaReader& archive, const std::string& path,
                      const std::vector<int>& assignment, int n_clusters) {
  if (!is_assignment(assignment, n_clusters)) {
    archive.refuse(path, "names a cluster that does not exist");
  }
}

}  // namespace

struct ResultsReader::State {
  SchemaReader archive;
};

ResultsReader::ResultsReader(const fs::path& file) {
  const h5::QuietErrors quiet;
  SchemaReader archive(file);
  archive.check_header(results_schema);
  state_ = std::make_unique<State>(State{std::move(archive)});
}

ResultsReader::~ResultsReader() = default;

std::string ResultsReader::config() const {
  const h5::QuietErrors quiet;
  std::string config;
  state_->archive.attribute("config", config);
  return config;
}

RunResults ResultsReader::read() {
  const h5::QuietErrors quiet;
  RunResults results;
  visit_schema(state_->archive, results);
  check_assignment(state_->archive, "result/assignment", results.result.assignment,
                   results.n_clusters);
  check_assignment(state_->archive, "iteration/assignment", results.iterations.assignment,
                   results.n_clusters);
  return results;
}

std::filesystem::path results_file(const std::filesystem::path& given) {
  return std::filesystem::is_directory(given) ? given / "results.h5" : given;
}

RunResults read_results(const fs::path& file) { return ResultsReader(file).read(); }

}  // namespace d2c::results
