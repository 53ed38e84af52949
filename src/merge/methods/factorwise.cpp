#include <cmath>
#include <string>
#include <utility>

#include "algebra/elementwise.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

Pruner make_pruner(Pruning pruning, const Matrix& task, const Options& options, CounterRng rng) {
  if (pruning == Pruning::random) return Pruner::at_random(rng, options.density);
  if (pruning == Pruning::none) return {};
  return Pruner::by_magnitude({task.values().begin(), task.values().end()}, options.density);
}

/// The operator on one factor of members that come one after another.
class FactorMerge {
 public:
  FactorMerge(Operator op, const Options& options, std::string tensor)
      : op_(op), options_(options), tensor_(std::move(tensor)) {}

  void add(const Member& member, const Matrix& factor, double weight) {
    Matrix task = factor;
    make_pruner(op_.pruning, task, options_, random_stream(options_, tensor_, member))
        .prune(task.values());
    if (merged_.size() == 0) {
      merged_ = Matrix(task.rows(), task.cols());
      entries_ = Combiner(op_.combination, options_.majority_sign, task.values().size());
    }
    entries_.add(task.values(), weight);
  }
  [[nodiscard]] Matrix finish() {
    entries_.finish(merged_.values());
    return std::move(merged_);
  }

 private:
  Operator op_;
  Options options_;
  std::string tensor_;
  Matrix merged_;
  Combiner entries_;
};

class Factorwise final : public ModuleMerge {
 public:
  Factorwise(Operator op, std::string_view module, const Options& options)
      : module_(module),
        a_(op, options, module_ + ".lora_A"),
        b_(op, options, module_ + ".lora_B") {
    unit_.module = module_;
  }

  void add(const Member& member) override {
    admit_equal_rank(unit_, member);
    const double weight = std::sqrt(std::abs(strength(member)));
    a_.add(member, member.factors->a, std::copysign(weight, strength(member)));
    b_.add(member, member.factors->b, weight);
  }
  [[nodiscard]] lora::Factors finish() override { return {a_.finish(), b_.finish(), 1.0}; }

 private:
  std::string module_;
  Unit unit_;
  FactorMerge a_;
  FactorMerge b_;
};

}  // namespace

std::unique_ptr<ModuleMerge> start_factorwise(Operator op, std::string_view module,
                                              const Options& options) {
  return std::make_unique<Factorwise>(op, module, options);
}

}  // namespace d2c::merge
