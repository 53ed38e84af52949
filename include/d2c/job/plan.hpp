#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run_options.hpp"

namespace d2c::job {

/// From here to there.
struct Span {
  double least = 0.0;
  double most = 0.0;
};

/// What a job will take, found by loading and checking all of its input.
struct Plan {
  int n_tasks = 0;
  int n_adapters = 0;
  int k = 0;
  int n_ranks = 1;
  std::string manifest;                ///< absolute path
  RunOptions options;                  ///< as given
  std::string model;                   ///< folder of the base model
  int adapter_rank = 0;                ///< largest of any module of any adapter
  int n_held_out = 0;                  ///< tasks with a test split
  std::int64_t few_shot_tokens = 0;    ///< ids of all few-shot examples
  std::int64_t few_shot_computed = 0;  ///< distinct prefix tokens among them
  std::int64_t few_shot_targets = 0;   ///< scored tokens
  std::int64_t held_out_computed = 0;  ///< distinct prefix tokens of the test splits
  std::int64_t parameters = 0;         ///< of the base model that a token passes through
  std::int64_t evaluations_per_iteration =
      0;  ///< (task, merged adapter) evaluations, without any cache
  double flop_per_iteration = 0.0;
  std::int64_t refine_evaluations = 0;  ///< evaluations that --refine distill takes as long as
  /// Processor time of a mean evaluation, or its share of a GPU's time, from what rank 0 measured.
  double evaluation_seconds = 0.0;
  double refine_evaluation_seconds = 0.0;  ///< of those of --refine distill, always on the CPU
  double merge_seconds = 0.0;  ///< to merge a cluster of mean size once on all ranks, measured
  Span search_evaluations;     ///< that the search usually takes
  Span merges;                 ///< adapters merged for them
  /// Of base model, own adapters, baselines and the result on both splits, as many few-shot ones.
  double other_evaluations = 0.0;
  Span job_seconds;               ///< on these ranks, without loading
  bool weights_are_bf16 = false;  ///< else F32
  ops::Arithmetic compute = ops::Arithmetic::f32;
  eval::Device device = eval::Device::cpu;  ///< that computes losses
  std::string device_note;                  ///< of a GPU: what it is and what lies on it
  // Once per node.
  std::uint64_t weight_bytes = 0;   ///< base weights
  std::uint64_t merged_bytes = 0;   ///< merged adapters held at a time
  std::uint64_t example_bytes = 0;  ///< token ids of all examples
  // Per rank.
  std::uint64_t adapter_bytes = 0;     ///< largest share of a rank
  std::uint64_t exchange_bytes = 0;    ///< cap on factors in flight, where there are several ranks
  std::uint64_t packed_bytes = 0;      ///< cap on packed examples at hand
  std::uint64_t activation_bytes = 0;  ///< forward pass
  std::uint64_t in_use_bytes = 0;      ///< the merged adapters in use while one is made ready
  std::uint64_t input_bytes = 0;       ///< what layers read, of the merge methods that need it
  std::uint64_t merge_bytes = 0;       ///< the same methods' matrices of one module, at most
  /// Of a rank that distils, on top; what lies on it where work is spread evenly.
  struct Refinement {
    std::uint64_t activation_bytes =
        0;                           ///< backward pass: kept layer inputs, a layer computed again
    std::uint64_t lesson_bytes = 0;  ///< examples and teachers' predictions, twice as they travel
    std::uint64_t optimiser_bytes = 0;  ///< factors, their gradients and moments, of all clusters
    std::uint64_t gradient_bytes = 0;   ///< of tasks: as they are computed, and in flight
    [[nodiscard]] std::uint64_t bytes() const {
      return activation_bytes + lesson_bytes + optimiser_bytes + gradient_bytes;
    }
  };
  Refinement refinement;

  std::uint64_t all_adapter_bytes = 0;  ///< adapters of all ranks
  std::string adapters_note;            ///< where adapters are kept, and why
  double imbalance = 1.0;               ///< largest load of a rank over the mean, as planned

  [[nodiscard]] std::uint64_t bytes_per_node() const {
    return weight_bytes + merged_bytes + example_bytes;
  }
  [[nodiscard]] std::uint64_t bytes_per_rank() const {
    return adapter_bytes + (n_ranks > 1 ? exchange_bytes : 0) + packed_bytes + activation_bytes +
           in_use_bytes + input_bytes + merge_bytes + refinement.bytes();
  }
};

/// Loads and checks every input of the job, and evaluates one task once for the time it takes.
/// Collective.
/// @throws as run()
[[nodiscard]] Plan make_plan(comm::Communicator& comm, const RunOptions& options);

/// Looks for everything in the input that keeps a job from starting: at most one problem of each
/// task's adapter and of each file of examples. For a job whose plan failed. Collective.
/// @return  a line each, in the order of the tasks, with the line of the manifest; empty where the
/// model or the manifest itself cannot be read
[[nodiscard]] std::vector<std::string> find_problems(comm::Communicator& comm,
                                                     const RunOptions& options);

/// The plan as a JSON object, for scripts; sizes in bytes, times in seconds.
[[nodiscard]] std::string to_json(const Plan& plan);

/// The plan for people.
[[nodiscard]] std::string print_plan(const Plan& plan);

}  // namespace d2c::job
