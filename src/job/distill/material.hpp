#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/eval/examples.hpp"

namespace d2c::job {

/// From how much a task learns, and in which portions.
struct MaterialOptions {
  int batch = 2;     ///< examples in a portion, about; 0 = all of the task
  int variants = 7;  ///< of each example, besides itself
};

/// A task's examples and their variants in portions for one step each; the originals come first.
///
/// In a variant, some tokens of the prompt are others of the same task: few examples show a model
/// how its teacher answers; answers to inputs nearby show it better what the teacher computes. Only
/// tokens that at most half of the prompts have are replaced, each with a probability of 0.15, so
/// that instructions stay what they are. Examples whose prompts have no such token get no variants.
/// @param examples  not empty
/// @param stream    of the random choices
[[nodiscard]] std::vector<std::vector<eval::Example>> learning_material(
    std::span<const eval::Example> examples, const MaterialOptions& options, std::uint64_t stream);

/// What the training of a task costs in evaluations of its examples: its teacher's once for each
/// example and variant, and about three for a step over all of them.
[[nodiscard]] double learning_cost(std::int64_t n_examples, const MaterialOptions& options,
                                   int steps);

}  // namespace d2c::job
