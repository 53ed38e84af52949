#include "lessons/material.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "d2c/core/rng.hpp"

namespace d2c::job {
namespace {

constexpr std::uint64_t material_seed = 0x6c6561726e;

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

int n_variants(std::int64_t n_examples, const MaterialOptions& options) {
  const std::int64_t batch = options.batch == 0 ? n_examples : options.batch;
  const std::int64_t learnt = (options.steps * batch + n_examples - 1) / n_examples;
  return static_cast<int>(std::clamp<std::int64_t>(learnt - 1, 0, options.variants));
}

Material learning_material(std::span<const eval::Example> examples, int variants,
                           std::uint64_t stream) {
  Material material{{examples.begin(), examples.end()}, examples.size()};
  const RareTokens rare(examples);
  if (rare.uses().empty()) return material;
  CounterRng random(material_seed, stream);
  for (int v = 0; v < variants; ++v) {
    const double replaced_share = (v + 0.5) / variants;
    for (const eval::Example& example : examples) {
      for (std::int32_t& id : prompt(material.examples.emplace_back(example))) {
        if (!rare.has(id) || random.uniform() >= replaced_share) continue;
        id = rare.uses()[random.below(rare.uses().size())];
      }
    }
  }
  return material;
}

std::vector<std::vector<eval::Example>> in_portions(Material material, int batch) {
  std::vector<eval::Example>& all = material.examples;
  const auto most = batch == 0 ? material.n_given : static_cast<std::size_t>(batch);
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
  return 1.0 + 2.0 * n_variants(n_examples, options) + 3.0 * steps * share;
}

}  // namespace d2c::job
