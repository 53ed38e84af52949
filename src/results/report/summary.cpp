#include "d2c/results/summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "report/table.hpp"

namespace d2c::results {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
using Align = Table::Align;

/// Mean over `tasks` weighted by the tasks' weights; tasks without a value are left out.
double mean_of(const std::vector<double>& values, const std::vector<std::size_t>& tasks,
               const TaskTable& table) {
  double sum = 0.0;
  double total = 0.0;
  for (const std::size_t t : tasks) {
    if (t >= values.size() || !std::isfinite(values[t])) continue;
    sum += table.weight[t] * values[t];
    total += table.weight[t];
  }
  return total > 0.0 ? sum / total : nan;
}

std::vector<std::size_t> all_tasks(const RunResults& run) {
  std::vector<std::size_t> tasks(run.tasks.name.size());
  std::iota(tasks.begin(), tasks.end(), std::size_t{0});
  return tasks;
}

/// Loss of every task under the merged adapter of its own cluster, [task].
std::vector<double> own_cluster_loss(const RunResults& run, const std::vector<double>& loss) {
  const auto clusters = static_cast<std::size_t>(run.n_clusters);
  std::vector<double> chosen(run.result.assignment.size(), nan);
  for (std::size_t t = 0; t < chosen.size(); ++t) {
    const auto cluster = static_cast<std::size_t>(run.result.assignment[t]);
    const std::size_t at = t * clusters + cluster;
    if (at < loss.size()) chosen[t] = loss[at];
  }
  return chosen;
}

const std::vector<double>& find(const Baselines& baselines, const std::string& name) {
  static const std::vector<double> none;
  const auto found = baselines.find(name);
  return found == baselines.end() ? none : found->second;
}

/// Gain of a baseline on the tasks whose gain is defined, (base - loss) / (base - own), [task].
std::vector<double> gain_of(const std::vector<double>& loss, const Baselines& baselines,
                            const std::vector<double>& defined) {
  const auto& base = find(baselines, "base");
  const auto& own = find(baselines, "own");
  std::vector<double> gain(loss.size(), nan);
  if (base.empty() || own.empty()) return gain;
  for (std::size_t t = 0; t < std::min(loss.size(), defined.size()); ++t) {
    if (std::isfinite(defined[t])) gain[t] = (base[t] - loss[t]) / (base[t] - own[t]);
  }
  return gain;
}

std::string header(const RunResults& run, std::size_t width) {
  const Provenance& from = run.provenance;
  std::vector<std::string> lines = {
      fmt::format("{} {} ({})  {}", from.software, from.version, from.git_commit, from.created_utc),
      fmt::format("{} ranks x {} threads, seed {}, config {}", from.mpi_ranks, from.threads,
                  from.seed, from.config_hash),
      fmt::format("command: {}", from.command_line),
      "",
      fmt::format("{} tasks in {} clusters, merged by {}", run.tasks.name.size(), run.n_clusters,
                  run.merge_method),
      fmt::format("objective ({}, lower is better): {}", run.objective_kind,
                  show(run.result.objective, 6)),
  };
  // Each on a line of its own: no figure may be cut.
  if (run.verify) {
    lines.push_back(
        fmt::format("  on examples kept from the search: {}", show(run.verify->objective, 6)));
  }
  if (run.heldout) {
    lines.push_back(fmt::format("  on the test split: {}", show(run.heldout->objective, 6)));
  }
  std::string text;
  for (const std::string& line : lines) text += shorten(line, width) + "\n";
  return text;
}

std::string clusters(const RunResults& run, std::size_t width) {
  const auto loss = own_cluster_loss(run, run.result.loss);
  const auto& base = find(run.baselines, "base");
  const auto& own = find(run.baselines, "own");
  const auto means = [&](const std::vector<std::size_t>& tasks) {
    return std::vector<std::string>{
        show(mean_of(loss, tasks, run.tasks)), show(mean_of(base, tasks, run.tasks)),
        show(mean_of(own, tasks, run.tasks)), show(mean_of(run.result.gain, tasks, run.tasks), 3)};
  };
  Table table(
      {{"cluster"}, {"tasks"}, {"loss"}, {"base"}, {"own"}, {"gain"}, {"members", Align::left}});
  constexpr std::size_t numbers_width = 52;
  constexpr std::size_t least_width = 24;
  const std::size_t members_width = std::max(width, numbers_width + least_width) - numbers_width;
  for (int k = 0; k < run.n_clusters; ++k) {
    std::vector<std::size_t> members;
    std::vector<std::string> names;
    for (const std::size_t t : all_tasks(run)) {
      if (run.result.assignment[t] != k) continue;
      members.push_back(t);
      names.push_back(run.tasks.name[t]);
    }
    const auto lines = wrap_names(names, members_width, run.n_clusters <= 12 ? 3 : 1);
    std::vector<std::string> row = {std::to_string(k), std::to_string(members.size())};
    for (std::string& cell : means(members)) row.push_back(std::move(cell));
    row.push_back(lines.front());
    table.add(std::move(row));
    for (std::size_t i = 1; i < lines.size(); ++i) table.add({"", "", "", "", "", "", lines[i]});
  }
  std::vector<std::string> row = {"all", std::to_string(run.tasks.name.size())};
  for (std::string& cell : means(all_tasks(run))) row.push_back(std::move(cell));
  table.add(std::move(row));
  return "\nclusters (means over tasks; loss in nats per token; gain 1 = own, 0 = base)\n" +
         table.render(48, width);
}

/// Tasks that the gain says nothing about are named, never dropped silently.
std::string undefined_gains(const RunResults& run, std::size_t width) {
  std::vector<std::string> names;
  for (std::size_t t = 0; t < run.result.gain.size(); ++t) {
    if (!std::isfinite(run.result.gain[t])) names.push_back(run.tasks.name[t]);
  }
  if (names.empty()) return "";
  std::string text =
      fmt::format("  without a gain, as the own adapter does not help ({}):\n", names.size());
  for (const std::string& line : wrap_names(names, std::max<std::size_t>(width, 44) - 4, 2))
    text += "    " + line + "\n";
  return text;
}

/// Tasks that the job was asked for and has nothing to say of.
std::string skipped(const RunResults& run) {
  const SkippedTable& rows = run.skipped;
  if (rows.task.empty()) return "";
  Table table({{"left out", Table::Align::left}, {"because", Table::Align::left}});
  for (std::size_t i = 0; i < rows.task.size(); ++i) table.add({rows.task[i], rows.reason[i]});
  return "\ntasks that were left out, as their adapters cannot be used\n" + table.render(1000);
}

/// The clusters and the baselines on one part of the examples.
struct Part {
  std::string title;  ///< before "loss" and "gain" in the head of the table
  std::vector<double> loss;
  std::vector<double> gain;
  const Baselines& baselines;
};

std::vector<Part> parts(const RunResults& run) {
  std::vector<Part> all;
  all.push_back({"", own_cluster_loss(run, run.result.loss), run.result.gain, run.baselines});
  const auto add = [&](const char* title, const std::optional<Unseen>& figures) {
    if (!figures) return;
    all.push_back({title, own_cluster_loss(run, figures->loss), figures->gain, figures->baselines});
  };
  add("verify ", run.verify);
  add("test ", run.heldout);
  return all;
}

std::string comparison(const RunResults& run) {
  const std::vector<Part> columns_of = parts(run);
  const auto tasks = all_tasks(run);
  std::vector<Table::Column> columns = {{"", Align::left}};
  std::vector<std::string> clusters = {"clusters"};
  std::set<std::string> names;
  const auto add = [&](std::vector<std::string>& row, const std::vector<double>& loss,
                       const std::vector<double>& gain) {
    row.push_back(show(mean_of(loss, tasks, run.tasks)));
    row.push_back(show(mean_of(gain, tasks, run.tasks), 3));
  };
  for (const Part& part : columns_of) {
    columns.push_back({part.title + "loss"});
    columns.push_back({part.title + "gain"});
    add(clusters, part.loss, part.gain);
    for (const auto& [name, loss] : part.baselines) names.insert(name);
  }
  Table table(std::move(columns));
  table.add(std::move(clusters));
  for (const std::string& name : names) {
    std::vector<std::string> row = {shorten(name, 40)};
    for (const Part& part : columns_of) {
      const std::vector<double>& loss = find(part.baselines, name);
      add(row, loss, gain_of(loss, part.baselines, part.gain));
    }
    table.add(std::move(row));
  }
  return "\nthe clusters against the baselines (means over tasks)\n" + table.render();
}

/// A cell of a column that may be empty.
std::string optional_cell(const std::vector<double>& values, std::size_t i, int decimals) {
  return i < values.size() ? show(values[i], decimals) : "-";
}

template <class Values>
std::string integer(const Values& values, std::size_t i) {
  return i < values.size() ? std::to_string(values[i]) : "-";
}

std::string sweep(const RunResults& run) {
  const SweepTable& rows = run.sweep;
  if (rows.k.empty()) return "";
  Table table({{"K"},
               {"objective"},
               {"verify"},
               {"test"},
               {"gain"},
               {"test gain"},
               {"evaluations"},
               {"", Align::left}});
  for (std::size_t i = 0; i < rows.k.size(); ++i) {
    const bool knee = rows.k[i] == rows.knee;
    const bool chosen = rows.k[i] == run.n_clusters;
    const char* mark = knee && chosen ? "knee, chosen" : knee ? "knee" : chosen ? "chosen" : "";
    table.add({std::to_string(rows.k[i]), show(rows.objective[i], 6),
               optional_cell(rows.verify_objective, i, 6),
               optional_cell(rows.heldout_objective, i, 6), optional_cell(rows.gain, i, 3),
               optional_cell(rows.heldout_gain, i, 3), integer(rows.evaluations, i), mark});
  }
  return "\nnumbers of clusters that were tried\n" + table.render(40);
}

std::string refine(const RunResults& run) {
  const RefineTable& rows = run.refine;
  if (rows.step.empty()) return "";
  Table table({{"after", Align::left},
               {"objective"},
               {"verify"},
               {"test"},
               {"gain"},
               {"test gain"},
               {"changed"},
               {"evaluations"}});
  for (std::size_t i = 0; i < rows.step.size(); ++i) {
    table.add({rows.step[i] == "start" ? "search" : shorten(rows.step[i], 20),
               show(rows.objective[i], 6), optional_cell(rows.verify_objective, i, 6),
               optional_cell(rows.heldout_objective, i, 6), optional_cell(rows.gain, i, 3),
               optional_cell(rows.heldout_gain, i, 3), integer(rows.changed, i),
               integer(rows.evaluations, i)});
  }
  std::string text = "\nrefinement of the clusters\n" + table.render();
  for (std::size_t k = 0; k < run.recipe.method.size(); ++k) {
    if (run.recipe.method[k].empty()) continue;
    text += fmt::format("  cluster {}: {} times {}\n", k, shorten(run.recipe.method[k], 40),
                        show(run.recipe.scale[k], 3));
  }
  return text;
}

std::string iterations(const RunResults& run) {
  const IterationTable& rows = run.iterations;
  if (rows.objective.empty()) return "";
  Table table({{"iteration"}, {"restart"}, {"objective"}, {"moved"}, {"seconds"}});
  for (std::size_t i = 0; i < rows.objective.size(); ++i) {
    table.add({std::to_string(i), integer(rows.restart, i), show(rows.objective[i], 6),
               integer(rows.moved, i), optional_cell(rows.seconds, i, 2)});
  }
  return "\niterations\n" + table.render(24);
}

std::string restarts(const RunResults& run) {
  const RestartTable& rows = run.restarts;
  if (rows.objective.empty()) return "";
  // Columns that no search filled are left out.
  std::vector<Table::Column> columns = {{"restart"}, {"objective"}, {"iterations"}};
  if (!rows.evaluations.empty()) columns.push_back({"evaluations"});
  columns.push_back({"ended by", Align::left});
  Table table(std::move(columns));
  for (std::size_t r = 0; r < rows.objective.size(); ++r) {
    std::vector<std::string> row = {std::to_string(r), show(rows.objective[r], 6),
                                    integer(rows.iterations, r)};
    if (!rows.evaluations.empty()) row.push_back(integer(rows.evaluations, r));
    row.push_back(r < rows.stop_reason.size() ? shorten(rows.stop_reason[r], 24) : "-");
    table.add(std::move(row));
  }
  return "\nrestarts\n" + table.render(24);
}

std::string timing(const RunResults& run) {
  const Timing& rows = run.timing;
  if (rows.phase.empty()) return "";
  Table table({{"phase", Align::left}, {"min s"}, {"mean s"}, {"max s"}, {"max / mean"}});
  for (std::size_t p = 0; p < rows.phase.size(); ++p) {
    table.add({shorten(rows.phase[p], 40), show(rows.min[p], 2), show(rows.mean[p], 2),
               show(rows.max[p], 2), show(rows.imbalance[p], 2)});
  }
  return "\ntime over ranks\n" + table.render();
}

std::string work(const RunResults& run) {
  const EvaluationCounts& counts = run.evaluations;
  return fmt::format(
      "\nwork: {} losses computed, {} from the cache; {} merges;\n"
      "      {} tokens through the model ({} without shared prefixes)\n",
      counts.evaluated, counts.cached, counts.merges, counts.tokens, counts.tokens_unshared);
}

}  // namespace

std::string print_summary(const RunResults& results, std::size_t width) {
  return header(results, width) + clusters(results, width) + undefined_gains(results, width) +
         skipped(results) + comparison(results) + refine(results) + sweep(results) +
         iterations(results) + restarts(results) + timing(results) + work(results);
}

}  // namespace d2c::results
