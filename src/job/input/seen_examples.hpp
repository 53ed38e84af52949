#pragma once

#include <vector>

#include "d2c/cluster/folds.hpp"

#include "input/task_store.hpp"

namespace d2c::job {

/// Few-shot examples of a task that a search may look at, in the order of their file.
[[nodiscard]] std::vector<eval::Example> seen_examples(const TaskStore& tasks, TaskId task,
                                                       const cluster::ExampleFolds& folds);

}  // namespace d2c::job
