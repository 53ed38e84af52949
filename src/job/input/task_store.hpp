#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/recent_cache.hpp"
#include "d2c/eval/batch.hpp"
#include "d2c/eval/examples.hpp"
#include "d2c/eval/manifest.hpp"

namespace d2c::job {

/// The examples of a task that are chosen from, and those that are held out.
enum class Split { few_shot, held_out };

/// What every rank knows of every task.
struct TaskFacts {
  std::int64_t n_examples = 0;
  std::int64_t n_tokens = 0;    ///< ids of all examples
  std::int64_t n_computed = 0;  ///< distinct prefix tokens, the cost of one evaluation
  std::int64_t n_targets = 0;   ///< scored tokens
  std::uint64_t digest = 0;     ///< of the file
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
  Index short_until = 0;    ///< of the model
  /// Cap on the packed tasks that a rank keeps at hand; at least one is kept.
  std::uint64_t cache_bytes = std::uint64_t{64} << 20;
};

/// The tasks of a job. Every file is read by exactly one rank; then the token ids of all tasks lie
/// in the memory of each node once, so that any rank can evaluate any task. Batches are packed
/// where and when they are wanted.
class TaskStore {
 public:
  /// Collective. @param ranks_per_node  see Communicator::nodes
  /// @throws InputError (the same on every rank) if examples cannot be read
  TaskStore(comm::Communicator& comm, const eval::Manifest& manifest,
            const eval::TextEncoding& encoding, const eval::TokenLimits& limits,
            const PackOptions& options, int ranks_per_node);

  [[nodiscard]] int n_tasks() const { return static_cast<int>(facts_.size() / 2); }
  [[nodiscard]] IdRange<TaskId> ids() const { return d2c::ids<TaskId>(n_tasks()); }
  [[nodiscard]] const std::string& name(TaskId task) const { return names_[task]; }
  /// Facts of a task that has no such split are all zero.
  [[nodiscard]] const TaskFacts& facts(TaskId task, Split split) const {
    return facts_[slot(task, split)];
  }
  [[nodiscard]] bool any_held_out() const;
  /// Examples in the order of their file. @pre the task has the split
  [[nodiscard]] std::vector<eval::Example> examples(TaskId task, Split split) const;
  /// The same, packed. Any thread. @pre the task has the split
  [[nodiscard]] std::shared_ptr<const PackedTask> packed(TaskId task, Split split) const;
  /// Any examples, packed as those of the tasks are.
  [[nodiscard]] std::vector<eval::Batch> pack(std::span<const eval::Example> examples) const {
    return eval::pack(examples, options_.loss_on, options_.max_tokens, options_.short_until);
  }
  /// Prompts of any examples, to be continued by so many tokens: see eval::pack_prompts.
  [[nodiscard]] std::vector<eval::Batch> pack_prompts(std::span<const eval::Example> examples,
                                                      Index room) const {
    return eval::pack_prompts(examples, room, options_.max_tokens, options_.short_until);
  }
  /// Bytes of all token ids, once per node.
  [[nodiscard]] std::uint64_t node_bytes() const;
  /// Lines whose text and ids disagree, from all ranks, in the order of tasks.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  static std::size_t slot(TaskId task, Split split) {
    return 2 * task.index() + (split == Split::few_shot ? 0 : 1);
  }
  /// Places every task's examples; those that the ranks of one node read stand together.
  /// @return  [nodes + 1] where each node's part begins
  [[nodiscard]] std::vector<std::size_t> lay_out(const comm::NodeMap& nodes);

  PackOptions options_;
  IdVector<TaskId, std::string> names_;
  std::vector<TaskFacts> facts_;      ///< [task, split]
  std::vector<std::size_t> offsets_;  ///< [task, split] bytes into `ids_`
  std::unique_ptr<comm::NodeMemory> ids_;
  std::vector<std::string> warnings_;
  mutable RecentCache<std::size_t, PackedTask> cache_;  ///< by slot
};

}  // namespace d2c::job
