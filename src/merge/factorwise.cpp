#include <cmath>
#include <string>

#include "elementwise.hpp"
#include "families.hpp"

namespace d2c::merge {
namespace {

Pruner make_pruner(Pruning pruning, const Matrix& task, const Options& options, CounterRng rng) {
  if (pruning == Pruning::random) return Pruner::at_random(rng, options.density);
  if (pruning == Pruning::none) return {};
  std::vector<float> magnitudes(task.values().begin(), task.values().end());
  for (float& x : magnitudes) x = std::abs(x);
  return Pruner::by_magnitude(std::move(magnitudes), options.density);
}

/// The operator on one factor of all members.
Matrix merge_factor(const Unit& unit, Operator op, const Options& options,
                    Matrix lora::Factors::*factor, std::string_view suffix,
                    std::span<const double> weights) {
  const std::string tensor = std::string(unit.module) + std::string(suffix);
  std::vector<Matrix> tasks;
  std::vector<std::span<const float>> views;
  tasks.reserve(unit.members.size());
  for (const Member& member : unit.members) {
    Matrix& task = tasks.emplace_back(member.factors->*factor);
    make_pruner(op.pruning, task, options, random_stream(options, tensor, member))
        .prune(task.values());
    views.push_back(task.values());
  }
  Matrix merged(tasks.front().rows(), tasks.front().cols());
  combine(views, weights, op.combination, options.majority_sign, merged.values());
  return merged;
}

}  // namespace

lora::Factors merge_factorwise(Operator op, std::string_view module,
                               std::span<const Member> members, const Options& options) {
  const Unit unit = check_equal_ranks(module, members);
  std::vector<double> weights_a;
  std::vector<double> weights_b;
  for (const Member& member : unit.members) {
    weights_b.push_back(std::sqrt(std::abs(strength(member))));
    weights_a.push_back(std::copysign(weights_b.back(), strength(member)));
  }
  return {merge_factor(unit, op, options, &lora::Factors::a, ".lora_A", weights_a),
          merge_factor(unit, op, options, &lora::Factors::b, ".lora_B", weights_b), 1.0};
}

}  // namespace d2c::merge
