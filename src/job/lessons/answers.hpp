#pragma once

#include "d2c/eval/loss_engine.hpp"

#include "input/task_store.hpp"
#include "lessons/material.hpp"

namespace d2c::job {

/// Gives the variants the answers that an adapter writes to their prompts, greedily.
///
/// An answer ends with the last token of those that end all given responses alike which stands once
/// in each of them. If there is none, it is as long as the response of the example whose variant it
/// answers. No answer is longer than the longest response.
/// @param adapter  the task's own
void answer_variants(eval::LossEngine& engine, const eval::AdapterHandle& adapter,
                     const TaskStore& tasks, Material& material);

/// Gives the variants placeholders for the longest answers that they may get.
void expect_longest_answers(Material& material);

}  // namespace d2c::job
