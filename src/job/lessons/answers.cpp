#include "lessons/answers.hpp"

#include <algorithm>
#include <cstdint>

namespace d2c::job {
namespace {

std::span<const std::int32_t> response(const eval::Example& example) {
  return std::span(example.ids).subspan(static_cast<std::size_t>(example.prompt_len));
}

std::span<const eval::Example> given(const Material& material) {
  return std::span(material.examples).first(material.n_given);
}

Index longest_response(const Material& material) {
  Index longest = 0;
  for (const eval::Example& example : given(material)) {
    longest = std::max<Index>(longest, std::ssize(response(example)));
  }
  return longest;
}

/// The token with which answers end; empty = none. The last tokens of responses may be others: a
/// chat template may end a response with a line break, which stands in responses, too.
std::vector<std::int32_t> common_end(const Material& material) {
  const std::span<const std::int32_t> first = response(material.examples.front());
  for (std::size_t from_end = 1; from_end <= first.size(); ++from_end) {
    const std::int32_t end = first[first.size() - from_end];
    const auto has_it_there = [&](const eval::Example& example) {
      const std::span<const std::int32_t> ids = response(example);
      return ids.size() >= from_end && ids[ids.size() - from_end] == end;
    };
    const auto has_it_once = [&](const eval::Example& example) {
      return std::ranges::count(response(example), end) == 1;
    };
    if (!std::ranges::all_of(given(material), has_it_there)) break;
    if (std::ranges::all_of(given(material), has_it_once)) return {end};
  }
  return {};
}

void replace_response(eval::Example& example, std::span<const std::int32_t> answer) {
  example.ids.resize(static_cast<std::size_t>(example.prompt_len));
  example.ids.insert(example.ids.end(), answer.begin(), answer.end());
}

}  // namespace

void answer_variants(eval::LossEngine& engine, const eval::AdapterHandle& adapter,
                     const TaskStore& tasks, Material& material) {
  const std::span<eval::Example> variants = material.variants();
  if (variants.empty()) return;
  const model::GenerationLimits limits{longest_response(material), common_end(material)};
  const std::vector<eval::Batch> batches = tasks.pack_prompts(variants, limits.most_tokens);
  const auto answers = eval::answers_of(engine, adapter, batches, limits);
  for (std::size_t i = 0; i < variants.size(); ++i) {
    std::span<const std::int32_t> answer = answers[i];
    if (limits.stops.empty()) {
      answer = answer.first(std::min(answer.size(), response(variants[i]).size()));
    }
    replace_response(variants[i], answer);
  }
}

void expect_longest_answers(Material& material) {
  const auto longest = static_cast<std::size_t>(longest_response(material));
  const std::vector<std::int32_t> answer(longest, material.examples.front().ids.back());
  for (eval::Example& variant : material.variants()) replace_response(variant, answer);
}

}  // namespace d2c::job
