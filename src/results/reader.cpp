#include "d2c/results/reader.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

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
  fs::path file;
  SchemaReader archive;
};

ResultsReader::ResultsReader(fs::path file) {
  const h5::QuietErrors quiet;
  SchemaReader archive(file);
  archive.check_header(results_schema);
  state_ = std::make_unique<State>(State{std::move(file), std::move(archive)});
}

ResultsReader::~ResultsReader() = default;

std::string ResultsReader::config() const {
  const h5::QuietErrors quiet;
  std::string config;
  state_->archive.attribute("/", "config", config);
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

std::vector<int> ResultsReader::merged_clusters() const {
  const h5::QuietErrors quiet;
  const SchemaReader& archive = state_->archive;
  std::vector<int> clusters;
  if (!archive.exists("merged")) return clusters;
  for (const std::string& name : archive.children("merged")) {
    int cluster = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), cluster);
    if (error != std::errc() || end != name.data() + name.size()) {
      archive.refuse("merged/" + name, "is not the number of a cluster");
    }
    clusters.push_back(cluster);
  }
  std::sort(clusters.begin(), clusters.end());
  return clusters;
}

std::map<std::string, MergedFactors> ResultsReader::read_merged(int cluster) const {
  const h5::QuietErrors quiet;
  const SchemaReader& archive = state_->archive;
  const std::string group = fmt::format("merged/{}", cluster);
  if (!archive.exists(group)) {
    throw InputError(
        {state_->file, group},
        {"is missing", "no merged factors of this cluster were written", "run with --merged hdf5"});
  }
  std::map<std::string, MergedFactors> merged;
  for (const std::string& module : archive.children(group)) {
    MergedFactors& factors = merged[module];
    const std::string path = fmt::format("{}/{}", group, module);
    const auto dims_a = archive.matrix(path + "/A", factors.a);
    const auto dims_b = archive.matrix(path + "/B", factors.b);
    if (dims_a[0] != dims_b[1]) archive.refuse(path, "has factors of different rank");
    factors.rank = static_cast<std::int64_t>(dims_a[0]);
    factors.d_in = static_cast<std::int64_t>(dims_a[1]);
    factors.d_out = static_cast<std::int64_t>(dims_b[0]);
  }
  return merged;
}

RunResults read_results(const fs::path& file) { return ResultsReader(file).read(); }

}  // namespace d2c::results
