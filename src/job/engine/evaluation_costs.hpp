#pragma once

#include <map>
#include <utility>

#include "input/task_store.hpp"

namespace d2c::job {

/// What the evaluations of each task cost so far, as the engine reports it, to plan the next ones.
class EvaluationCosts {
 public:
  explicit EvaluationCosts(const TaskStore& tasks) : tasks_(tasks) {}

  void add(TaskId task, Split split, double seconds) {
    const double tokens = tokens_of(task, split);
    for (Sum* sum : {&of_task_[{task, split}], &all_}) {
      sum->seconds += seconds;
      sum->tokens += tokens;
    }
  }

  /// Seconds, or tokens while nothing was measured.
  [[nodiscard]] double operator()(TaskId task, Split split) const {
    const auto place = of_task_.find({task, split});
    const Sum& known = place == of_task_.end() ? all_ : place->second;
    const double tokens = tokens_of(task, split);
    return known.tokens > 0 ? tokens * known.seconds / known.tokens : tokens;
  }

 private:
  struct Sum {
    double seconds = 0.0;
    double tokens = 0.0;
  };
  [[nodiscard]] double tokens_of(TaskId task, Split split) const {
    return static_cast<double>(tasks_.facts(task, split).n_computed);
  }

  const TaskStore& tasks_;
  std::map<std::pair<TaskId, Split>, Sum> of_task_;
  Sum all_;
};

}  // namespace d2c::job
