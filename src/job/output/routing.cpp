#include "output/routing.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "d2c/core/json.hpp"
#include "d2c/core/version.hpp"

#include "input/seen_examples.hpp"

namespace d2c::job {
namespace {

using json::OrderedJson;

/// Token ids of the examples that check one adapter, at most.
constexpr std::int64_t check_ids = 4096;

/// null where there is no value
OrderedJson value(const std::vector<double>& values, std::size_t i) {
  return i < values.size() && std::isfinite(values[i]) ? OrderedJson(values[i]) : OrderedJson();
}

std::string dump(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// A member of the file, an array or object with one element a line.
std::string member(std::string_view key, const OrderedJson& elements) {
  std::vector<std::string> lines;
  for (const auto& [name, element] : elements.items()) {
    lines.push_back(elements.is_object() ? dump(name) + ": " + dump(element) : dump(element));
  }
  return fmt::format(" \"{}\": {}\n  {}\n {}", key, elements.is_object() ? "{" : "[",
                     fmt::join(lines, ",\n  "), elements.is_object() ? "}" : "]");
}

std::vector<double> heldout_gain(const results::RunResults& results) {
  return results.heldout ? results.heldout->gain : std::vector<double>();
}

/// Loss of a task under its own cluster.
double loss_of(const results::RunResults& results, std::size_t task) {
  return results.result.loss[task * static_cast<std::size_t>(results.n_clusters) +
                             static_cast<std::size_t>(results.result.assignment[task])];
}

OrderedJson clusters(const std::vector<WrittenAdapter>& written) {
  OrderedJson all = OrderedJson::array();
  for (const WrittenAdapter& adapter : written) {
    OrderedJson sums = OrderedJson::object();
    for (const auto& [file, sum] : adapter.sha256) sums[file] = sum;
    all.push_back({{"cluster", adapter.cluster.value()},
                   {"folder", adapter.folder.empty() ? OrderedJson() : OrderedJson(adapter.folder)},
                   {"rank", adapter.rank},
                   {"sha256", sums}});
  }
  return all;
}

OrderedJson tasks(const results::RunResults& results) {
  OrderedJson all = OrderedJson::object();
  for (std::size_t t = 0; t < results.tasks.name.size(); ++t) {
    all[results.tasks.name[t]] = {{"cluster", results.result.assignment[t]},
                                  {"gain", value(results.result.gain, t)},
                                  {"heldout_gain", value(heldout_gain(results), t)}};
  }
  return all;
}

/// The task of a cluster whose examples have the fewest token ids.
std::optional<TaskId> shortest_task(const Job& job, const results::RunResults& results,
                                    ClusterId cluster) {
  std::optional<TaskId> shortest;
  const auto ids = [&](TaskId task) { return job.tasks->facts(task, Split::few_shot).n_tokens; };
  for (const TaskId task : job.tasks->ids()) {
    if (results.result.assignment[task.index()] != cluster.value()) continue;
    if (!shortest || ids(task) < ids(*shortest)) shortest = task;
  }
  if (shortest && ids(*shortest) > check_ids) return std::nullopt;
  return shortest;
}

/// The examples whose mean losses the results give.
OrderedJson examples(const Job& job, const RunOptions& options, TaskId task) {
  OrderedJson chosen = OrderedJson::array();
  for (const eval::Example& example :
       seen_examples(*job.tasks, task, {.choose = 1, .verify = options.verify_examples})) {
    chosen.push_back({{"input_ids", example.ids}, {"prompt_len", example.prompt_len}});
  }
  return chosen;
}

OrderedJson checks(const Job& job, const RunOptions& options, const results::RunResults& results,
                   const std::vector<WrittenAdapter>& written) {
  OrderedJson all = OrderedJson::array();
  for (const WrittenAdapter& adapter : written) {
    const auto task = shortest_task(job, results, adapter.cluster);
    if (!task) continue;
    const std::size_t t = task->index();
    all.push_back({{"task", results.tasks.name[t]},
                   {"cluster", adapter.cluster.value()},
                   {"loss", value({loss_of(results, t)}, 0)},
                   {"base_loss", value(results.baselines.at("base"), t)},
                   {"examples", examples(job, options, *task)}});
  }
  return all;
}

/// As RFC 4180 has it.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

std::string csv_number(const std::vector<double>& values, std::size_t i) {
  return i < values.size() && std::isfinite(values[i]) ? fmt::format("{}", values[i]) : "";
}

std::string assignment_csv(const results::RunResults& results,
                           const std::vector<WrittenAdapter>& written) {
  std::string text = "task,cluster,folder,gain,heldout_gain\n";
  for (std::size_t t = 0; t < results.tasks.name.size(); ++t) {
    const ClusterId cluster(results.result.assignment[t]);
    const auto adapter = std::ranges::find(written, cluster, &WrittenAdapter::cluster);
    text += fmt::format("{},{},{},{},{}\n", csv_cell(results.tasks.name[t]), cluster,
                        adapter == written.end() ? "" : adapter->folder,
                        csv_number(results.result.gain, t), csv_number(heldout_gain(results), t));
  }
  return text;
}

}  // namespace

std::vector<TextFile> routing_files(const Job& job, const RunOptions& options,
                                    const results::RunResults& results,
                                    const std::vector<WrittenAdapter>& written) {
  const std::vector<std::string> members = {
      " \"format\": \"d2c-routing\"",
      " \"format_version\": 1",
      fmt::format(" \"made_by\": {}", dump("d2c " + std::string(version()))),
      fmt::format(" \"base_model\": {}", dump(job.adapters->base_model())),
      fmt::format(" \"model\": {}", dump(job.manifest.model.string())),
      fmt::format(" \"loss_on\": {}",
                  dump(options.loss_on == eval::LossOn::all ? "all" : "response")),
      member("clusters", clusters(written)),
      member("tasks", tasks(results)),
      member("checks", checks(job, options, results, written))};
  return {{"routing.json", fmt::format("{{\n{}\n}}\n", fmt::join(members, ",\n"))},
          {"assignment.csv", assignment_csv(results, written)}};
}

}  // namespace d2c::job
