#include "input/seen_examples.hpp"

#include <utility>

namespace d2c::job {

std::vector<eval::Example> seen_examples(const TaskStore& tasks, TaskId task,
                                         const cluster::ExampleFolds& folds) {
  std::vector<eval::Example> examples = tasks.examples(task, Split::few_shot);
  const std::vector<FoldId> fold_of = folds.of(std::ssize(examples));
  std::vector<eval::Example> seen;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    if (folds.sees(fold_of[e])) seen.push_back(std::move(examples[e]));
  }
  return seen;
}

}  // namespace d2c::job
