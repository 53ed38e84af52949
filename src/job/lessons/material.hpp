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
  int steps = 0;     ///< that learn a portion each
};

/// As many variants of each example as are wanted and the steps come to.
[[nodiscard]] int n_variants(std::int64_t n_examples, const MaterialOptions& options);

/// What a task learns from.
struct Material {
  std::vector<eval::Example> examples;  ///< those that were given, then variants of them
  std::size_t n_given = 0;

  /// Variants, whose answers are to be written: until then they have those of the given examples.
  [[nodiscard]] std::span<eval::Example> variants() { return std::span(examples).subspan(n_given); }
};

/// A task's examples and variants of each.
///
/// In a variant, some tokens of the prompt are others of the same task: few examples show a model
/// how its teacher answers; answers to inputs nearby show it better what the teacher computes. Only
/// tokens that at most half of the prompts have are replaced, so that instructions stay what they
/// are: a few in the first variant of an example, nearly all in the last. Examples whose prompts
/// have no such token get no variants.
/// @param examples  not empty
/// @param variants  of each
/// @param stream    of the random choices
[[nodiscard]] Material learning_material(std::span<const eval::Example> examples, int variants,
                                         std::uint64_t stream);

/// In portions for one step each, in their order.
/// @param batch  of MaterialOptions
[[nodiscard]] std::vector<std::vector<eval::Example>> in_portions(Material material, int batch);

/// What the training of a task costs in evaluations of its examples: its teacher answers each
/// variant, and is asked about each example and answer; a step over all of them is about three.
/// @param steps  that were done
[[nodiscard]] double learning_cost(std::int64_t n_examples, const MaterialOptions& options,
                                   int steps);

}  // namespace d2c::job
