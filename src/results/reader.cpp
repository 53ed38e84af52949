#include "d2c/results/reader.hpp"

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

SchemaReader open_results(const fs::path& file) {
  SchemaReader archive(file);
  archive.check_header(results_schema);
  return archive;
}

}  // namespace

fs::path results_file(const fs::path& given) {
  return fs::is_directory(given) ? given / "results.h5" : given;
}

RunResults read_results(const fs::path& file) {
  const h5::QuietErrors quiet;
  SchemaReader archive = open_results(file);
  RunResults results;
  visit_schema(archive, results);
  check_assignment(archive, "result/assignment", results.result.assignment, results.n_clusters);
  check_assignment(archive, "iteration/assignment", results.iterations.assignment,
                   results.n_clusters);
  return results;
}

std::string read_config(const fs::path& file) {
  const h5::QuietErrors quiet;
  std::string config;
  open_results(file).attribute("config", config);
  return config;
}

}  // namespace d2c::results
