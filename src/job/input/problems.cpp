#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/eval/examples.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/job/plan.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library_record.hpp"

#include "engine/rank_device.hpp"
#include "input/shared_model.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_problems = 20;

/// Line of the manifest in which each task has its name; 0 = not found, or there is no file.
std::vector<std::size_t> lines_of(const eval::Manifest& manifest, const fs::path& path) {
  std::vector<std::size_t> lines(manifest.tasks.size(), 0);
  if (!fs::is_regular_file(path)) return lines;
  std::map<std::string, std::size_t> line_of;
  std::istringstream text(json::read_text(path));
  std::size_t number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    for (std::size_t at = line.find("\"name\""); at != std::string::npos;
         at = line.find("\"name\"", at + 1)) {
      const std::size_t begin = line.find_first_not_of(": \t", at + 6);
      if (begin == std::string::npos || line[begin] != '"') continue;
      std::size_t end = begin + 1;
      while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
      const auto name = json::Json::parse(line.substr(begin, end + 1 - begin), nullptr, false);
      if (name.is_string()) line_of.emplace(name.get<std::string>(), number);
    }
  }
  for (std::size_t task = 0; task < lines.size(); ++task) {
    const auto place = line_of.find(manifest.tasks[task].name);
    if (place != line_of.end()) lines[task] = place->second;
  }
  return lines;
}

/// What is wrong with the input of one task.
class TaskCheck {
 public:
  TaskCheck(const eval::Manifest& manifest, const eval::ModelFolder& model,
            const RunOptions& options)
      : manifest_(manifest),
        model_(model),
        leaves_out_(options.on_bad_adapter == OnBadAdapter::skip),
        encoding_(model.encoding(options.chat_date)),
        modules_(model.model.target_modules()) {}

  [[nodiscard]] std::vector<std::string> operator()(const eval::TaskSpec& task) const {
    std::vector<std::string> problems;
    const auto attempt = [&](auto read) {
      try {
        read();
      } catch (const Error& error) {
        problems.emplace_back(error.what());
      }
    };
    attempt([&] {
      const fs::path place =
          manifest_.library.empty()
              ? task.adapter
              : fs::path(manifest_.library.string() + "::" + task.adapter.string());
      static_cast<void>(
          lora::read_adapter(results::read_adapter_at(place), modules_, manifest_.model));
    });
    if (leaves_out_ && !problems.empty()) return {};
    for (const fs::path& file : {task.examples, task.test}) {
      if (file.empty()) continue;
      attempt([&] { static_cast<void>(eval::read_examples(file, encoding_, model_.limits())); });
    }
    return problems;
  }

 private:
  const eval::Manifest& manifest_;
  const eval::ModelFolder& model_;
  bool leaves_out_;  ///< tasks whose adapters cannot be used
  eval::TextEncoding encoding_;
  std::vector<lora::TargetModule> modules_;
};

}  // namespace

std::vector<std::string> find_problems(comm::Communicator& comm, const RunOptions& options) {
  eval::Manifest manifest;
  std::string text;
  std::vector<std::pair<std::size_t, std::string>> found;
  try {
    comm::agree(comm, [&] {
      if (comm.is_root()) text = to_json(eval::read_manifest(options.manifest));
    });
    text = comm::broadcast_text(comm, text, 0);
    manifest = eval::parse_manifest(text, options.manifest);
    const SharedModel model =
        load_shared_model(comm, manifest.model, {options.weights, engine_choice(options).on_cpu()},
                          options.ranks_per_node);
    const TaskCheck check(manifest, model.folder, options);
    const auto n_ranks = static_cast<std::size_t>(comm.size());
    for (auto task = static_cast<std::size_t>(comm.rank()); task < manifest.tasks.size();
         task += n_ranks) {
      for (std::string& problem : check(manifest.tasks[task])) {
        found.emplace_back(task, std::move(problem));
      }
    }
  } catch (const comm::AgreedError&) {
    return {};
  }
  std::string own;
  for (const auto& [task, problem] : found) own += fmt::format("{} {}\n", task, problem);
  std::multimap<std::size_t, std::string> all;
  for (const std::string& line : comm::gather_lines(comm, own)) {
    const std::size_t space = line.find(' ');
    all.emplace(std::stoul(line.substr(0, space)), line.substr(space + 1));
  }
  const std::vector<std::size_t> line_of = lines_of(manifest, options.manifest);
  std::vector<std::string> problems;
  std::set<std::string> told;  // tasks may share what is wrong
  for (const auto& [task, problem] : all) {
    if (!told.insert(problem).second) continue;
    const std::string line = line_of[task] == 0 ? "" : fmt::format(":{}", line_of[task]);
    problems.push_back(fmt::format("{}{}: task '{}': {}", options.manifest.string(), line,
                                   manifest.tasks[task].name, problem));
  }
  if (problems.size() > most_problems) {
    const std::size_t more = problems.size() - most_problems;
    problems.resize(most_problems);
    problems.push_back(fmt::format("and {} more", more));
  }
  return problems;
}

}  // namespace d2c::job
