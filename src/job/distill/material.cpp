#include "distill/material.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "d2c/core/rng.hpp"

namespace d2c::job {
namespace {

constexpr std::uint64_t material_seed = 0x6c6561726e;
constexpr double replaced_share = 0.15;  // docs/notebook/distillation.md

std::span<std::int32_t> prompt(eval::Example& example) {
  return std::span(example.ids).first(static_cast<std::size_t>(example.prompt_len));
}

std::span<const std::int32_t> prompt(const eval::Example& example) {
  return std::span(example.ids).first(static_cast<std::size_t>(example.prompt_len));
}

/// Tokens that at most half of the prompts have.
class RareTokens {
 public:
  explicit RareTokens(std::span<const eval::Example> examples) {
    std::map<std::int32_t, std::size_t> n_prompts;
    for (const eval::Example& example : examples) {
      const auto ids = prompt(example);
      for (const std::int32_t id : std::set(ids.begin(), ids.end())) ++n_prompts[id];
    }
    for (const auto& [id, n] : n_prompts) {
      if (2 * n <= examples.size()) rare_.insert(id);
    }
    for (const eval::Example& example : examples) {
      std::ranges::copy_if(prompt(example), std::back_inserter(uses_),
                           [&](std::int32_t id) { return has(id); });
    }
  }

  [[nodiscard]] bool has(std::int32_t id) const { return rare_.contains(id); }
  /// Every use of them, in order.
  [[nodiscard]] const std::vector<std::int32_t>& uses() const { return uses_; }

 private:
  std::set<std::int32_t> rare_;
  std::vector<std::int32_t> uses_;
};

}  // namespace

std::vector<std::vector<eval::Example>> learning_material(std::span<const eval::Example> examples,
                                                          const MaterialOptions& options,
                                                          std::uint64_t stream) {
  std::vector<eval::Example> all(examples.begin(), examples.end());
  const RareTokens rare(examples);
  CounterRng random(material_seed, stream);
  for (int v = 0; v < options.variants && !rare.uses().empty(); ++v) {
    for (const eval::Example& example : examples) {
      for (std::int32_t& id : prompt(all.emplace_back(example))) {
        if (!rare.has(id) || random.uniform() >= replaced_share) continue;
        id = rare.uses()[random.below(rare.uses().size())];
      }
    }
  }
  const auto most = options.batch == 0 ? examples.size() : static_cast<std::size_t>(options.batch);
  const std::size_t n_portions = (all.size() + most - 1) / most;
  std::vector<std::vector<eval::Example>> portions(n_portions);
  for (std::size_t p = 0; p < n_portions; ++p) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(all.size() * p / n_portions);
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(all.size() * (p + 1) / n_portions);
    portions[p].assign(std::make_move_iterator(begin), std::make_move_iterator(end));
  }
  return portions;
}

double learning_cost(std::int64_t n_examples, const MaterialOptions& options, int steps) {
  const double share =
      options.batch == 0
          ? 1.0
          : std::min(1.0, static_cast<double>(options.batch) / static_cast<double>(n_examples));
  return 1.0 + options.variants + 3.0 * steps * share;
}

}  // namespace d2c::job
