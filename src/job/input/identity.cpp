#include "input/identity.hpp"

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/digest.hpp"
#include "d2c/core/json.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

// Names of parts. Each task's are followed by its name.
constexpr const char* tasks_part = "tasks";
constexpr const char* of_task_mark = " of task '";

std::string text_of(std::uint64_t digest) { return fmt::format("{:016x}", digest); }

void add_options(const RunOptions& options, results::Identity& parts) {
  const json::Json values = json::Json::parse(identity_json(options));
  for (const auto& [name, value] : values.items()) {
    parts[(name.size() == 1 ? "-" : "--") + name] =
        value.is_string() ? value.get<std::string>() : value.dump();
  }
}

void add_tasks(const Job& job, results::Identity& parts) {
  Digest names;
  for (const TaskId id : job.tasks->ids()) {
    const eval::TaskSpec& task = job.manifest.tasks[id.index()];
    const AdapterId adapter = job.adapter_of_task[id];
    names.update(task.name).update(task.name.size());
    const auto of_task = [&](const char* what) -> std::string& {
      return parts[fmt::format("{}{}{}'", what, of_task_mark, task.name)];
    };
    // Tasks that share an adapter are not the same as tasks with equal ones.
    of_task("adapter") = fmt::format("{} {}", text_of(job.adapters->fingerprint(adapter)), adapter);
    of_task("weight") = fmt::format("{}", task.weight);
    of_task("examples") = text_of(job.tasks->facts(id, Split::few_shot).digest);
    if (task.test.empty()) continue;
    of_task("test examples") = text_of(job.tasks->facts(id, Split::held_out).digest);
  }
  parts[tasks_part] = names.text();
}

void add_constraints(const cluster::Constraints& constraints, results::Identity& parts) {
  if (constraints.together.empty() && constraints.apart.empty()) return;
  Digest digest;
  for (const auto* pairs : {&constraints.together, &constraints.apart}) {
    digest.update(pairs->size());
    for (const auto& [a, b] : *pairs) {
      digest.update(a.index()).update(b.index());
    }
  }
  parts["constraints"] = digest.text();
}

/// "the examples of task 'x' have changed"
std::string changed(const std::string& part) {
  const bool is_plural = part.substr(0, part.find(" of ")).ends_with('s');
  return fmt::format("the {} {} changed", part, is_plural ? "have" : "has");
}

}  // namespace

results::Identity identity_of(const RunOptions& options, const Job& job) {
  results::Identity parts = job.model_content;
  add_options(options, parts);
  add_tasks(job, parts);
  add_constraints(job.constraints, parts);
  return parts;
}

std::string hash_of(const results::Identity& identity) {
  Digest digest;
  for (const auto& [part, value] : identity) {
    digest.update(part).update(part.size()).update(value).update(value.size());
  }
  return digest.text();
}

std::string differences(const results::Identity& before, const results::Identity& now) {
  const auto value = [](const results::Identity& identity, const std::string& part) {
    const auto place = identity.find(part);
    return place == identity.end() ? std::string("none") : place->second;
  };
  results::Identity all = now;
  all.insert(before.begin(), before.end());
  const bool same_tasks = value(before, tasks_part) == value(now, tasks_part);
  std::vector<std::string> found;
  for (const auto& [part, ignored] : all) {
    const std::string then = value(before, part);
    const std::string present = value(now, part);
    if (then == present || (!same_tasks && part.find(of_task_mark) != std::string::npos)) continue;
    found.push_back(part.starts_with("-") ? fmt::format("{} was {} and is {}", part, then, present)
                                          : changed(part));
  }
  constexpr std::size_t most = 3;
  if (found.size() > most) {
    const std::size_t rest = found.size() - most;
    found.resize(most);
    found.push_back(fmt::format("and {} more", rest));
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

std::string digest_of(const safetensors::ShardedReader& weights) {
  constexpr std::size_t small = std::size_t{16} << 20;
  Digest digest;
  for (const safetensors::Reader& file : weights.files()) {
    const std::span<const std::byte> content = file.content();
    digest.update(std::uint64_t{content.size()});
    if (content.size() <= small) {
      digest.update(content);
      continue;
    }
    digest.update(
        content.subspan(sizeof(std::uint64_t), file.data_begin() - sizeof(std::uint64_t)));
    digest.update(
        static_cast<std::uint64_t>(fs::last_write_time(file.file()).time_since_epoch().count()));
  }
  return digest.text();
}

}  // namespace d2c::job
