#include "d2c/eval/loss_engine.hpp"

#include <utility>

#include "d2c/eval/countdown.hpp"

namespace d2c::eval {
namespace {

class ListOfUnits final : public UnitSource {
 public:
  explicit ListOfUnits(std::vector<Unit> units)
      : units_(std::move(units)), results_(units_.size()), left_(units_.size()) {}

  [[nodiscard]] std::optional<Unit> take(Index least) override {
    const auto index = left_.take(least);
    if (!index) return std::nullopt;
    Unit unit = std::move(units_[static_cast<std::size_t>(*index)]);
    unit.id = *index;
    return unit;
  }
  void report(const Unit& unit, UnitResult result) override {
    results_[static_cast<std::size_t>(unit.id)] = std::move(result);
  }
  [[nodiscard]] std::vector<UnitResult> results() && { return std::move(results_); }

 private:
  std::vector<Unit> units_;
  std::vector<UnitResult> results_;
  Countdown left_;
};

}  // namespace

std::vector<Unit> units_of(const AdapterHandle& adapter, std::span<const Batch> batches) {
  std::vector<Unit> units;
  units.reserve(batches.size());
  for (const Batch& batch : batches) {
    units.push_back({.adapter = adapter, .batches = std::span(&batch, 1)});
  }
  return units;
}

std::vector<std::vector<std::int32_t>> answers_of(LossEngine& engine, const AdapterHandle& adapter,
                                                  std::span<const Batch> prompts,
                                                  const model::GenerationLimits& limits) {
  std::size_t n_examples = 0;
  for (const Batch& batch : prompts) n_examples += batch.places.size();
  auto by_batch = engine.generate(units_of(adapter, prompts), limits);
  std::vector<std::vector<std::int32_t>> answers(n_examples);
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    for (std::size_t i = 0; i < prompts[b].places.size(); ++i) {
      answers.at(static_cast<std::size_t>(prompts[b].places[i].example)) =
          std::move(by_batch[b][i]);
    }
  }
  return answers;
}

std::vector<UnitResult> losses_of(LossEngine& engine, std::vector<Unit> units) {
  ListOfUnits list(std::move(units));
  engine.losses(list);
  return std::move(list).results();
}

UnitResult losses_of(LossEngine& engine, Unit unit) {
  return std::move(losses_of(engine, std::vector{std::move(unit)}).front());
}

}  // namespace d2c::eval
