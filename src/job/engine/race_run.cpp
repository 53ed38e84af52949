#include "engine/race_run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace d2c::job {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

}  // namespace

std::size_t n_measured(const cluster::Race& race) {
  return race.sets.size() -
         static_cast<std::size_t>(std::ranges::count(race.sets, cluster::Race::not_needed));
}

RaceRun::RaceRun(const RaceInputs& inputs, const cluster::Race& race, std::span<double> losses,
                 std::span<RaceWork> work)
    : inputs_(inputs),
      race_(race),
      losses_(losses),
      work_(work),
      n_folds_(at(inputs.folds.n_folds())),
      contestants_(race.sets.size()),
      in_order_(race.sets.size() * race.folds.size(), nan) {
  pack();
}

/// Packs the examples, one section between two probes after the other. What is kept from the search
/// comes with the last one.
void RaceRun::pack() {
  examples_ = inputs_.tasks.examples(race_.task, Split::few_shot);
  fold_of_ = inputs_.folds.of(std::ssize(examples_));
  const auto last = static_cast<int>(race_.setup.probes.size()) - 1;
  std::vector<int> section_of_fold(n_folds_, last);
  for (std::size_t part = 0; part < race_.folds.size(); ++part) {
    section_of_fold[race_.folds[part].index()] = section_of(static_cast<int>(part));
  }
  std::vector<int> sections;
  for (const FoldId fold : fold_of_) sections.push_back(section_of_fold[fold.index()]);
  const PackOptions& packing = inputs_.tasks.packing();
  const auto packed = [&](eval::SharedTokens shared) {
    return eval::pack_parts(examples_, sections, packing.loss_on, packing.max_tokens, shared);
  };
  batches_ = packed(eval::SharedTokens::kept);
  Index most = 0;
  for (const eval::Batch& batch : batches_) most = std::max(most, batch.n_to_keep);
  if (n_measured(race_) * at(most) * inputs_.token_bytes > inputs_.kept_bytes) {
    batches_ = packed(eval::SharedTokens::again);
  }
}

int RaceRun::section_of(int part) const {
  return static_cast<int>(std::ranges::upper_bound(race_.setup.probes, part) -
                          race_.setup.probes.begin());
}

/// Runs the race on what is known: up to the first probe that needs more.
std::vector<RaceRun::Stretch> RaceRun::next() {
  std::vector<Stretch> missing;
  const auto need = [&](std::size_t contestant, int begin, int end) {
    if (!missing.empty() && missing.front().end != end) return;
    const Stretch stretch{contestant, begin, end};
    if (contestants_[contestant].seen < end && !take_known(stretch)) missing.push_back(stretch);
  };
  const cluster::RaceOutcome outcome = cluster::race(race_.setup, in_order_, need);
  if (!missing.empty()) return missing;
  decided_ = true;
  const auto n_parts = static_cast<int>(race_.folds.size());
  for (std::size_t c = 0; race_.measure_all && c < contestants_.size(); ++c) {
    if (outcome.seen[c] < n_parts) need(c, outcome.seen[c], n_parts);
  }
  return missing;
}

/// @return whether the losses of a stretch were known before the race
bool RaceRun::take_known(const Stretch& stretch) {
  const auto [contestant, begin, end] = stretch;
  const auto known = std::span(race_.known).subspan(contestant * n_folds_, n_folds_);
  const auto is_nan = [](double loss) { return std::isnan(loss); };
  const auto folds = std::span(race_.folds).subspan(at(begin), at(end - begin));
  const bool is_known = end == std::ssize(race_.folds)
                            ? std::ranges::none_of(known, is_nan)
                            : std::ranges::none_of(folds, [&](FoldId fold) {
                                return std::isnan(known[fold.index()]);
                              });
  if (!is_known) return false;
  double* in_order = &in_order_[contestant * race_.folds.size()];
  for (int part = begin; part < end; ++part) in_order[part] = known[race_.folds[at(part)].index()];
  contestants_[contestant].seen = end;
  return true;
}

eval::Unit RaceRun::start(const Stretch& stretch) {
  Contestant& state = contestants_[stretch.contestant];
  // An earlier race may have measured the first sections, and kept nothing but the losses.
  if (state.sections != (stretch.begin == 0 ? 0 : section_of(stretch.begin))) {
    state.sections = 0;
    state.token_losses.clear();
    state.prefixes.reset();
  }
  const int last = section_of(stretch.end - 1);
  const auto begin = std::ranges::lower_bound(batches_, state.sections, {}, &eval::Batch::part);
  const auto end = std::ranges::upper_bound(batches_, last, {}, &eval::Batch::part);
  state.sections = last + 1;
  return {.batches = {begin, end}, .prefixes = std::move(state.prefixes)};
}

void RaceRun::finish(const Stretch& stretch, const eval::Unit& unit, eval::UnitResult result) {
  Contestant& state = contestants_[stretch.contestant];
  RaceWork& work = work_[stretch.contestant];
  eval::add_losses(unit.batches, result.nll, state.token_losses);
  for (const eval::Batch& batch : unit.batches) {
    (decided_ ? work.check_tokens : work.tokens) += static_cast<double>(batch.n_computed());
    for (const Index e : batch.examples) {
      work.tokens_unshared += static_cast<double>(examples_[at(e)].ids.size());
    }
  }
  work.parts = stretch.end;
  work.seconds += result.seconds;
  state.seen = stretch.end;
  state.prefixes = std::move(result.prefixes);
  read_losses(stretch.contestant, stretch.end);
  if (stretch.end == std::ssize(race_.folds)) {
    state.token_losses.clear();
    state.prefixes.reset();
  }
}

/// Losses of the folds that are complete, each the mean over its examples; 0 where there is none.
void RaceRun::read_losses(std::size_t contestant, int end) {
  const bool is_whole = end == std::ssize(race_.folds);
  std::vector<char> complete(n_folds_, is_whole ? 1 : 0);
  for (int part = 0; part < end; ++part) complete[race_.folds[at(part)].index()] = 1;
  const auto losses = losses_.subspan(contestant * n_folds_, n_folds_);
  std::vector<double> examples(n_folds_, 0.0);
  std::ranges::fill(losses, 0.0);
  for (std::size_t e = 0; e < examples_.size(); ++e) {
    const std::size_t fold = fold_of_[e].index();
    if (complete[fold] == 0) continue;
    losses[fold] += eval::mean_token_loss(contestants_[contestant].token_losses[e]);
    examples[fold] += 1;
  }
  for (std::size_t fold = 0; fold < n_folds_; ++fold) {
    if (examples[fold] > 0) losses[fold] /= examples[fold];
  }
  for (int part = 0; part < end; ++part) {
    in_order_[contestant * race_.folds.size() + at(part)] = losses[race_.folds[at(part)].index()];
  }
}

}  // namespace d2c::job
