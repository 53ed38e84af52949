#pragma once

#include <cstdint>
#include <string>

#include "d2c/comm/communicator.hpp"
#include "d2c/driver/run_options.hpp"

namespace d2c::driver {

/// What a job will take, found by loading and checking all of its input.
struct Plan {
  int n_tasks = 0;
  int n_adapters = 0;
  int k = 0;
  int n_ranks = 1;
  int n_held_out = 0;                    ///< tasks with a test split
  std::int64_t few_shot_tokens = 0;      ///< ids of all few-shot examples
  std::int64_t few_shot_computed = 0;    ///< distinct prefix tokens among them
  std::int64_t few_shot_targets = 0;     ///< scored tokens
  std::int64_t parameters = 0;           ///< of the base model that a token passes through
  std::int64_t units_per_iteration = 0;  ///< (task, merged adapter) evaluations, without any cache
  double flop_per_iteration = 0.0;
  bool weights_are_bf16 = false;       ///< else F32
  std::uint64_t weight_bytes = 0;      ///< base weights, shared by the ranks of a node
  std::uint64_t adapter_bytes = 0;     ///< largest share of a rank
  std::uint64_t merged_bytes = 0;      ///< merged adapters held at a time, per rank
  std::uint64_t exchange_bytes = 0;    ///< factors in flight, per rank
  std::uint64_t activation_bytes = 0;  ///< per rank
  std::string adapters_note;           ///< where adapters are kept, and why
  double imbalance = 1.0;              ///< largest task load of a rank over the mean

  [[nodiscard]] std::uint64_t bytes_per_rank() const {
    return weight_bytes + adapter_bytes + merged_bytes + exchange_bytes + activation_bytes;
  }
};

/// Loads and checks every input of the job without evaluating anything. Collective.
/// @throws as run()
[[nodiscard]] Plan make_plan(comm::Communicator& comm, const RunOptions& options);

/// The plan for people.
[[nodiscard]] std::string print_plan(const Plan& plan);

}  // namespace d2c::driver
