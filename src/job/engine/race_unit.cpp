#include "engine/race_unit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"

namespace d2c::job {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

}  // namespace

RaceUnit::RaceUnit(const Inputs& inputs, const cluster::Race& race, eval::Evaluator& evaluator)
    : inputs_(inputs),
      race_(race),
      evaluator_(evaluator),
      n_folds_(at(inputs.folds.n_folds())),
      contestants_(race.sets.size()),
      in_order_(race.sets.size() * race.folds.size(), nan) {}

void RaceUnit::run(std::span<double> losses, std::span<RaceWork> work) {
  losses_ = losses;
  work_ = work;
  divide();
  const auto n_parts = static_cast<int>(race_.folds.size());
  const cluster::RaceOutcome outcome = cluster::race(
      race_.setup, in_order_,
      [this](std::size_t contestant, int begin, int end) { measure(contestant, begin, end); });
  decided_ = true;
  for (std::size_t c = 0; race_.measure_all && c < contestants_.size(); ++c) {
    if (outcome.seen[c] < n_parts) measure(c, outcome.seen[c], n_parts);
  }
}

/// Packs the examples, one section between two looks after the other. What is kept from the search
/// comes with the last one.
void RaceUnit::divide() {
  examples_ = inputs_.tasks.examples(race_.task, Split::few_shot);
  fold_of_ = inputs_.folds.of(std::ssize(examples_));
  const auto last = static_cast<int>(race_.setup.looks.size()) - 1;
  std::vector<int> section_of_fold(n_folds_, last);
  for (std::size_t part = 0; part < race_.folds.size(); ++part)
    section_of_fold[at(race_.folds[part])] = section_of(static_cast<int>(part));
  std::vector<int> sections;
  for (const int fold : fold_of_) sections.push_back(section_of_fold[at(fold)]);
  const PackOptions& packing = inputs_.tasks.packing();
  const auto pack = [&](eval::SharedTokens shared) {
    return eval::pack_steps(examples_, sections, packing.loss_on, packing.max_tokens, shared);
  };
  steps_ = pack(eval::SharedTokens::kept);
  Index most = 0;
  for (const eval::Step& step : steps_) most = std::max(most, step.n_to_keep);
  const auto n_measured = static_cast<std::uint64_t>(
      std::ranges::count_if(race_.sets, [](int set) { return set >= 0; }));
  if (n_measured * at(most) * inputs_.token_bytes > inputs_.kept_bytes)
    steps_ = pack(eval::SharedTokens::again);
}

int RaceUnit::section_of(int part) const {
  return static_cast<int>(std::ranges::upper_bound(race_.setup.looks, part) -
                          race_.setup.looks.begin());
}

bool RaceUnit::is_known(std::size_t contestant, int begin, int end) const {
  const auto known = std::span(race_.known).subspan(contestant * n_folds_, n_folds_);
  const auto is_nan = [](double loss) { return std::isnan(loss); };
  if (end == std::ssize(race_.folds)) return std::ranges::none_of(known, is_nan);
  return std::ranges::none_of(std::span(race_.folds).subspan(at(begin), at(end - begin)),
                              [&](int fold) { return std::isnan(known[at(fold)]); });
}

void RaceUnit::measure(std::size_t contestant, int begin, int end) {
  double* in_order = &in_order_[contestant * race_.folds.size()];
  if (is_known(contestant, begin, end)) {
    for (int part = begin; part < end; ++part)
      in_order[part] = race_.known[contestant * n_folds_ + at(race_.folds[at(part)])];
    return;
  }
  const double start = thread_cpu_seconds();
  Contestant& state = contestants_[contestant];
  // An earlier race may have measured the first sections, and kept nothing but the losses.
  if (state.sections != (begin == 0 ? 0 : section_of(begin))) state = {};
  if (in_use_ != static_cast<int>(contestant)) {
    evaluator_.use(inputs_.prepare(race_.sets[contestant]));
    in_use_ = static_cast<int>(contestant);
  }
  const int last = section_of(end - 1);
  for (; state.sections <= last; ++state.sections) advance(contestant, state.sections);
  read_losses(contestant, end);
  if (end == std::ssize(race_.folds)) state.progress = {};
  work_[contestant].parts = end;
  work_[contestant].seconds += thread_cpu_seconds() - start;
}

void RaceUnit::advance(std::size_t contestant, int section) {
  RaceWork& work = work_[contestant];
  for (const eval::Step& step : steps_) {
    if (step.part != section) continue;
    evaluator_.advance(step, contestants_[contestant].progress, std::ssize(examples_));
    (decided_ ? work.check_tokens : work.tokens) += static_cast<double>(step.n_computed());
    for (const Index e : step.examples)
      work.tokens_unshared += static_cast<double>(examples_[at(e)].ids.size());
  }
}

/// Losses of the folds that are complete, each the mean over its examples; 0 where there is none.
void RaceUnit::read_losses(std::size_t contestant, int end) {
  const bool is_whole = end == std::ssize(race_.folds);
  std::vector<char> complete(n_folds_, is_whole ? 1 : 0);
  for (int part = 0; part < end; ++part) complete[at(race_.folds[at(part)])] = 1;
  const auto losses = losses_.subspan(contestant * n_folds_, n_folds_);
  std::vector<double> examples(n_folds_, 0.0);
  std::ranges::fill(losses, 0.0);
  for (std::size_t e = 0; e < examples_.size(); ++e) {
    const std::size_t fold = at(fold_of_[e]);
    if (complete[fold] == 0) continue;
    losses[fold] += eval::mean_token_loss(contestants_[contestant].progress.token_losses[e]);
    examples[fold] += 1;
  }
  for (std::size_t fold = 0; fold < n_folds_; ++fold)
    if (examples[fold] > 0) losses[fold] /= examples[fold];
  for (int part = 0; part < end; ++part)
    in_order_[contestant * race_.folds.size() + at(part)] = losses[at(race_.folds[at(part)])];
}

}  // namespace d2c::job
