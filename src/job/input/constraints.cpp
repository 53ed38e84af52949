#include "input/constraints.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/json.hpp"

namespace d2c::job {
namespace {

using json::Json;
using Pair = std::pair<TaskId, TaskId>;

class Parser {
 public:
  Parser(const std::filesystem::path& file, const eval::Manifest& manifest,
         std::span<const std::string> left_out)
      : file_(file), left_out_(left_out.begin(), left_out.end()) {
    for (std::size_t i = 0; i < manifest.tasks.size(); ++i) {
      index_[manifest.tasks[i].name] = TaskId(i);
    }
  }

  cluster::Constraints parse(const Json& value) {
    if (!value.is_object()) {
      throw InputError({file_, {}},
                       {"is not an object", "", R"(write {"together": [], "apart": []})"});
    }
    for (const auto& [key, lists] : value.items()) {
      if (key != "together" && key != "apart") {
        throw InputError({file_, key}, {"is not a field of constraints",
                                        "a misspelt field would be ignored silently",
                                        "known are: together, apart"});
      }
    }
    cluster::Constraints constraints;
    for (const std::vector<TaskId>& tasks : lists(value, "together")) {
      for (std::size_t i = 1; i < tasks.size(); ++i) {
        constraints.together.emplace_back(tasks[i - 1], tasks[i]);
      }
    }
    const IdVector<TaskId, int> group = groups(constraints.together);
    const auto apart = lists(value, "apart");
    for (std::size_t list = 0; list < apart.size(); ++list) {
      const std::vector<TaskId>& tasks = apart[list];
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        for (std::size_t j = i + 1; j < tasks.size(); ++j) {
          refuse_contradiction(group, tasks[i], tasks[j], list);
          constraints.apart.emplace_back(tasks[i], tasks[j]);
        }
      }
    }
    return constraints;
  }

 private:
  std::vector<std::vector<TaskId>> lists(const Json& value, const std::string& field) const {
    std::vector<std::vector<TaskId>> all;
    if (!value.contains(field)) return all;
    if (!value[field].is_array()) {
      throw InputError({file_, field}, {"is not a list", "", R"(write [["a", "b"], ...])"});
    }
    for (std::size_t i = 0; i < value[field].size(); ++i) {
      const Json& names = value[field][i];
      const std::string item = fmt::format("{}[{}]", field, i);
      if (!names.is_array() || names.size() < 2) {
        throw InputError({file_, item}, {"is not a list of at least two tasks", "",
                                         R"(write the names of tasks, ["a", "b"])"});
      }
      auto& tasks = all.emplace_back();
      for (std::size_t j = 0; j < names.size(); ++j) {
        if (names[j].is_string() && left_out_.contains(names[j].get<std::string>())) continue;
        tasks.push_back(task(names[j], fmt::format("{}[{}]", item, j)));
        if (std::find(tasks.begin(), tasks.end() - 1, tasks.back()) != tasks.end() - 1) {
          throw InputError(
              {file_, fmt::format("{}[{}]", item, j)},
              {fmt::format("names the task {} again", names[j].dump()), "", "name each task once"});
        }
      }
    }
    return all;
  }

  TaskId task(const Json& name, const std::string& item) const {
    const auto place = name.is_string() ? index_.find(name.get<std::string>()) : index_.end();
    if (place == index_.end()) {
      throw InputError({file_, item},
                       {fmt::format("is {}, which no task of the manifest is called", name.dump()),
                        "a constraint would be ignored silently", "correct the name"});
    }
    return place->second;
  }

  /// A number per task, equal for tasks that must share a cluster.
  [[nodiscard]] IdVector<TaskId, int> groups(const std::vector<Pair>& together) const {
    IdVector<TaskId, int> group(static_cast<int>(index_.size()));
    std::iota(group.begin(), group.end(), 0);
    for (const auto& [a, b] : together) {
      const int from = group[b];
      const int to = group[a];
      std::replace(group.begin(), group.end(), from, to);
    }
    return group;
  }

  void refuse_contradiction(const IdVector<TaskId, int>& group, TaskId a, TaskId b,
                            std::size_t list) const {
    if (group[a] != group[b]) return;
    throw InputError(
        {file_, fmt::format("apart[{}]", list)},
        {fmt::format("keeps '{}' and '{}' apart, which must be together", name(a), name(b)),
         "no partition can obey both", "drop one of the two"});
  }

  [[nodiscard]] std::string name(TaskId task) const {
    return std::find_if(index_.begin(), index_.end(),
                        [task](const auto& entry) { return entry.second == task; })
        ->first;
  }

  const std::filesystem::path& file_;
  std::set<std::string> left_out_;
  std::map<std::string, TaskId> index_;
};

}  // namespace

cluster::Constraints parse_constraints(const std::string& text, const std::filesystem::path& file,
                                       const eval::Manifest& manifest,
                                       std::span<const std::string> left_out) {
  return Parser(file, manifest, left_out).parse(json::parse(text, file));
}

}  // namespace d2c::job
