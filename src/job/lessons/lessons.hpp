#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "d2c/cluster/folds.hpp"

#include "lessons/material.hpp"
#include "merging/job_parts.hpp"

namespace d2c::job {

/// What a task's adapter is to learn, packed: [portion][batch]. A step takes one portion.
using TaskLessons = std::vector<std::vector<eval::Lesson>>;

/// Tokens of a teacher's distribution at most: docs/notebook/distillation.md.
inline constexpr Index teacher_tokens = 256;  // 2 KiB for a scored token

/// Lessons before anybody was asked: targets are not known, answers as long as they may become.
/// @param folds  learnt from are those that a search may look at
[[nodiscard]] TaskLessons untaught_lessons(const TaskStore& tasks, TaskId task,
                                           const cluster::ExampleFolds& folds,
                                           const MaterialOptions& options);

/// Bytes of a lesson with distributions of so many tokens.
[[nodiscard]] std::uint64_t lesson_bytes(const eval::Batch& batch, Index most_tokens);

/// A task that a rank learns.
struct Learner {
  TaskId task;
  int rank = 0;
};

/// What is needed to ask the tasks' own adapters.
struct Teachers : JobParts {
  cluster::ExampleFolds folds;  ///< learnt from are those that a search may look at
  MaterialOptions material;
  Index most_tokens = 0;  ///< of a distribution at most
};

/// The lessons of the tasks that this rank learns, by task: the answers that their own adapters
/// write to variants, and the distributions that they predict, computed once by the ranks that hold
/// these adapters. The loss of a portion is the mean over its examples of the mean over their
/// targets. Collective.
/// @param learners  the same on every rank, each task once
/// @param stop      asked before each task of a rank, as in DistillParts
/// @return          nothing if `stop` said so before all were asked
[[nodiscard]] std::optional<std::map<TaskId, TaskLessons>> taught_lessons(
    const Teachers& teachers, std::span<const Learner> learners, const std::function<bool()>& stop);

}  // namespace d2c::job
