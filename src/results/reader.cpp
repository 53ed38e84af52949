#include "d2c/results/reader.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "schema_reader.hpp"

namespace d2c::results {
namespace {

void check_assignment(const SchemaReader& archive, const std::string& path,
                      const std::vector<int>& assignment, int n_clusters) {
  if (!is_assignment(assignment, n_clusters)) {
    archive.refuse(path, "names a cluster that does not exist");
  }
}

std::string merged_group(int cluster) { return fmt::format("merged/{}", cluster); }

}  // namespace

RunResults read_results(const std::filesystem::path& file) {
  const h5::QuietErrors quiet;
  SchemaReader archive(file);
  archive.check_header(results_schema);
  RunResults results;
  visit_schema(archive, results);
  check_assignment(archive, "result/assignment", results.result.assignment, results.n_clusters);
  check_assignment(archive, "iteration/assignment", results.iterations.assignment,
                   results.n_clusters);
  return results;
}

std::vector<int> merged_clusters(const std::filesystem::path& file) {
  const h5::QuietErrors quiet;
  const SchemaReader archive(file);
  archive.check_header(results_schema);
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

std::map<std::string, MergedFactors> read_merged(const std::filesystem::path& file, int cluster) {
  const h5::QuietErrors quiet;
  const SchemaReader archive(file);
  archive.check_header(results_schema);
  const std::string group = merged_group(cluster);
  if (!archive.exists(group)) {
    throw InputError({file, group}, {"is missing", "no merged factors of this cluster were written",
                                     "run with --merged hdf5"});
  }
  std::map<std::string, MergedFactors> merged;
  for (const std::string& module : archive.children(group)) {
    MergedFactors& factors = merged[module];
    const auto path = group + "/" + module;
    const auto dims_a = archive.matrix(path + "/A", factors.a);
    const auto dims_b = archive.matrix(path + "/B", factors.b);
    if (dims_a[0] != dims_b[1]) archive.refuse(path, "has factors of different rank");
    factors.rank = static_cast<std::int64_t>(dims_a[0]);
    factors.d_in = static_cast<std::int64_t>(dims_a[1]);
    factors.d_out = static_cast<std::int64_t>(dims_b[0]);
  }
  return merged;
}

}  // namespace d2c::results
