#include "d2c/results/comparison.hpp"

#include <cmath>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"

#include "report/table.hpp"
#include "schema/groups.hpp"
#include "schema/schema_file.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

constexpr Schema comparison_schema{"d2c-comparison", 1};

void write_all(SchemaWriter& file, const Comparison& c) {
  const Provenance& from = c.provenance;
  file.attribute("software", from.software);
  file.attribute("version", from.version);
  file.attribute("git_commit", from.git_commit);
  file.attribute("created_utc", from.created_utc);
  file.attribute("mpi_ranks", from.mpi_ranks);
  file.attribute("threads", from.threads);
  file.attribute("command_line", from.command_line);
  file.attribute("config", from.config);
  file.attribute("config_hash", from.config_hash);
  file.attribute("objective_kind", c.objective_kind);

  const std::string nats = "nats per token";
  const std::string units = c.objective_kind == "loss" ? nats : "1";
  const std::string none = "NaN: not measured";
  const auto needed = Presence::required;
  const auto optional = Presence::optional;
  file.scale("task", "task/name", c.tasks.name, {"name of the task", "", ""});
  file.array("task/weight", {"task"}, c.tasks.weight, {"weight in the objective", "1", ""}, needed);
  detail::visit_skipped(file, c.skipped);
  file.scale("seed", "seed", c.seed, {"seed of the search", "1", ""});
  file.index("row", "row/row", c.n_rows(), {"way to serve the tasks", "1", "0-based"});
  file.array("row/method", {"row"}, c.method, {"how adapters were merged", "", "empty: not at all"},
             needed);
  file.array("row/search", {"row"}, c.search, {"how clusters were found", "", "or a baseline"},
             needed);
  file.array("row/k", {"row"}, c.k, {"number of clusters", "1", "0: none were asked for"}, needed);
  file.array("objective", {"row", "seed"}, c.objective, {"objective of the partition", units, none},
             needed);
  file.array("gain", {"row", "seed"}, c.gain, {"mean gain", "1", none}, needed);
  file.array("verify_objective", {"row", "seed"}, c.verify_objective,
             {"objective on the examples kept from the search", units, none}, optional);
  file.array("heldout_objective", {"row", "seed"}, c.heldout_objective,
             {"objective on the test split", units, none}, optional);
  file.array("heldout_gain", {"row", "seed"}, c.heldout_gain,
             {"mean gain on the test split", "1", none}, optional);
  file.array("evaluations", {"row", "seed"}, c.evaluations,
             {"losses (task, merged adapter) that the search needs by itself", "1", ""}, needed);
  file.array("measured", {"row", "seed"}, c.measured,
             {"of these, not known from other rows", "1", ""}, needed);
  file.array("seconds", {"row", "seed"}, c.seconds, {"wall time, given what was known", "s", ""},
             needed);
  file.array("loss", {"row", "seed", "task"}, c.loss,
             {"loss of the task on the examples that searches look at", nats, none}, needed);
  file.array("heldout_loss", {"row", "seed", "task"}, c.heldout_loss,
             {"loss of the task on the test split", nats, none}, optional);
}

struct Spread {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double deviation = std::numeric_limits<double>::quiet_NaN();
};

/// Of one row over the seeds.
template <class T>
Spread spread(const std::vector<T>& values, std::size_t row, std::size_t n_seeds) {
  if (values.empty()) return {};
  const auto of_row = std::span(values).subspan(row * n_seeds, n_seeds);
  double sum = 0;
  for (const T value : of_row) sum += static_cast<double>(value);
  const double mean = sum / static_cast<double>(n_seeds);
  double squares = 0;
  for (const T value : of_row) squares += std::pow(static_cast<double>(value) - mean, 2);
  return {mean, n_seeds > 1 ? std::sqrt(squares / static_cast<double>(n_seeds - 1))
                            : std::numeric_limits<double>::quiet_NaN()};
}

std::string cell(const Spread& value, int decimals) {
  if (std::isnan(value.deviation)) return show(value.mean, decimals);
  return fmt::format("{} ± {}", show(value.mean, decimals), show(value.deviation, decimals));
}

/// A CSV field; quoted where it has to be.
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string number(const std::vector<double>& values, std::size_t at) {
  return at < values.size() && std::isfinite(values[at]) ? fmt::format("{}", values[at]) : "";
}

/// One line per row and seed, RFC 4180; empty = not measured.
std::string comparison_csv(const Comparison& c) {
  std::string text =
      "method,search,k,seed,objective,gain,verify_objective,heldout_objective,heldout_gain,"
      "evaluations,measured,seconds\r\n";
  const std::size_t n = c.seed.size();
  for (std::size_t row = 0; row < c.n_rows(); ++row) {
    for (std::size_t s = 0; s < n; ++s) {
      const std::size_t at = row * n + s;
      text += fmt::format(
          "{},{},{},{},{},{},{},{},{},{},{},{}\r\n", field(c.method[row]), field(c.search[row]),
          c.k[row] == 0 ? "" : std::to_string(c.k[row]), c.seed[s], number(c.objective, at),
          number(c.gain, at), number(c.verify_objective, at), number(c.heldout_objective, at),
          number(c.heldout_gain, at), c.evaluations[at], c.measured[at], number(c.seconds, at));
    }
  }
  return text;
}

}  // namespace

void write_comparison(const fs::path& tables, const fs::path& csv, const Comparison& comparison,
                      IfExists if_exists) {
  const h5::QuietErrors quiet;
  if (if_exists == IfExists::refuse && fs::exists(tables)) {
    throw InputError({tables, {}}, {"exists already", "results are not overwritten unasked",
                                    "choose another output or ask for it to be replaced"});
  }
  SchemaFile out(tables);
  out.complete(comparison_schema, [&](SchemaWriter& archive) { write_all(archive, comparison); });
  const bool is_new = !fs::exists(csv);
  try {
    write_text(csv, comparison_csv(comparison));
    out.pending().publish();
  } catch (...) {
    std::error_code ignored;
    if (is_new && !fs::exists(tables, ignored)) fs::remove(csv, ignored);
    throw;
  }
}

std::string print_comparison(const Comparison& c) {
  std::vector<Table::Column> columns = {
      {"method", Table::Align::left}, {"search", Table::Align::left}, {"K"}, {"objective"}};
  if (!c.verify_objective.empty()) columns.push_back({"verify"});
  if (!c.heldout_objective.empty()) columns.insert(columns.end(), {{"test"}, {"test gain"}});
  columns.insert(columns.end(), {{"evaluations"}, {"measured"}, {"s"}});
  Table table(std::move(columns));
  const std::size_t n = c.seed.size();
  for (std::size_t row = 0; row < c.n_rows(); ++row) {
    std::vector<std::string> cells = {
        c.method[row].empty() ? "-" : shorten(c.method[row], 20), shorten(c.search[row], 28),
        c.k[row] == 0 ? "-" : std::to_string(c.k[row]), cell(spread(c.objective, row, n), 4)};
    if (!c.verify_objective.empty()) cells.push_back(cell(spread(c.verify_objective, row, n), 4));
    if (!c.heldout_objective.empty()) {
      cells.push_back(cell(spread(c.heldout_objective, row, n), 4));
      cells.push_back(cell(spread(c.heldout_gain, row, n), 3));
    }
    cells.push_back(show(spread(c.evaluations, row, n).mean, 0));
    cells.push_back(show(spread(c.measured, row, n).mean, 0));
    cells.push_back(show(spread(c.seconds, row, n).mean, 1));
    table.add(std::move(cells));
  }
  return fmt::format("{} tasks, {} seed{}; objective: {}, lower is better\n", c.tasks.name.size(),
                     n, n == 1 ? "" : "s: mean ± standard deviation", c.objective_kind) +
         table.render(c.n_rows());
}

}  // namespace d2c::results
