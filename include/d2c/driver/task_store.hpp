#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/driver/manifest.hpp"
#include "d2c/eval/batch.hpp"
#include "d2c/eval/examples.hpp"

namespace d2c::driver {

/// The examples of a task that are chosen from, and those that are held out.
enum class Split { few_shot, held_out };

/// What every rank knows of every task.
struct TaskFacts {
  std::int64_t n_examples = 0;
  std::int64_t n_tokens = 0;    ///< ids of all examples
  std::int64_t n_computed = 0;  ///< distinct prefix tokens, the cost of one evaluation
  std::int64_t n_targets = 0;   ///< scored tokens
};

/// Examples ready to be evaluated.
struct PackedTask {
  std::int64_t n_examples = 0;
  std::vector<eval::Batch> batches;
};

/// How examples become batches.
struct PackOptions {
  eval::LossOn loss_on = eval::LossOn::response;
  Index max_tokens = 2048;  ///< distinct tokens per batch
};

/// The tasks of a job: each is owned by one rank, which alone evaluates it; balanced by the number
/// of tokens that an evaluation computes. Every file is read by exactly one rank.
class TaskStore {
 public:
  /// Collective. @throws InputError (the same on every rank) if examples cannot be read
  TaskStore(comm::Communicator& comm, const Manifest& manifest, const eval::TextEncoding& encoding,
            const eval::TokenLimits& limits, const PackOptions& options);

  [[nodiscard]] int n_tasks() const { return static_cast<int>(owners_.size()); }
  [[nodiscard]] int owner(int task) const { return owners_[static_cast<std::size_t>(task)]; }
  [[nodiscard]] const std::vector<int>& owners() const { return owners_; }
  /// Facts of a task that has no such split are all zero.
  [[nodiscard]] const TaskFacts& facts(int task, Split split) const {
    return facts_[static_cast<std::size_t>(slot(task, split))];
  }
  [[nodiscard]] bool any_held_out() const;
  /// A task owned by this rank. @pre it has the split
  [[nodiscard]] const PackedTask& local(int task, Split split) const {
    return local_.at(slot(task, split));
  }
  /// Lines whose text and ids disagree, from all ranks, in the order of tasks.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  static int slot(int task, Split split) { return 2 * task + (split == Split::few_shot ? 0 : 1); }

  std::vector<int> owners_;
  std::vector<TaskFacts> facts_;  ///< [task, split]
  std::map<int, PackedTask> local_;
  std::vector<std::string> warnings_;
};

}  // namespace d2c::driver
