#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

#include "loss/loss_cache.hpp"

namespace d2c::cluster {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// A number in [0, 1) that depends on the task and the content of the sets alone.
double draw(std::uint64_t seed, const Race& race, std::span<const TaskSet> sets) {
  std::string content = fmt::format("{}", race.task);
  for (const std::size_t set : race.sets) content += fmt::format(":{}", fmt::join(sets[set], " "));
  return CounterRng(seed, hash_name("cluster.race.check") + hash_name(content)).uniform();
}

/// A race, and what is known of its contestants.
struct Heat {
  std::vector<std::size_t> members;  ///< [contestants] indices of entrants
  Race race;
  std::vector<double> losses;  ///< [contestants, n_folds] NaN = not known
  RaceOutcome outcome;
  bool is_new = true;  ///< it looks at something that the caller did not ask for before

  /// The folds that a contestant was measured on before it was decided about.
  [[nodiscard]] std::span<const FoldId> seen(std::size_t c) const {
    return std::span(race.folds).first(static_cast<std::size_t>(outcome.seen[c]));
  }
  [[nodiscard]] bool is_dropped(std::size_t c) const {
    return outcome.seen[c] < std::ssize(race.folds);
  }
};

/// One call of CachedOracle::contest().
class Contest {
 public:
  Contest(LossCache& cache, std::span<const TaskSet> sets, std::span<const Entrant> entrants)
      : cache_(cache), n_folds_(cache.n_folds()), sets_(sets), entrants_(entrants) {}

  std::vector<Contested> run() {
    std::vector<Contested> result(entrants_.size());
    std::map<TaskId, std::vector<std::size_t>> of_task;
    for (std::size_t i = 0; i < entrants_.size(); ++i) of_task[entrants_[i].task].push_back(i);
    std::vector<Heat> heats;
    std::vector<Heat*> unknown;
    heats.reserve(of_task.size());
    for (auto& [task, members] : of_task) {
      Heat& heat = heats.emplace_back(heat_of(std::move(members)));
      const bool suffices = decide(heat);
      heat.is_new = !suffices || looks_at_more(heat);
      heat.race.measure_all =
          heat.is_new && draw(cache_.rule.seed, heat.race, sets_) < cache_.rule.check;
      if (!suffices || heat.race.measure_all) unknown.push_back(&heat);
    }
    if (!unknown.empty()) measure(unknown);
    remember(heats);
    for (const Heat& heat : heats) {
      for (std::size_t c = 0; c < heat.members.size(); ++c) {
        result[heat.members[c]] = heat.is_dropped(c) ? Contested{heat.outcome.mean[c], false}
                                                     : Contested{exact(heat, c), true};
      }
    }
    return result;
  }

 private:
  [[nodiscard]] Heat heat_of(std::vector<std::size_t> members) const {
    Heat heat;
    heat.race.task = entrants_[members.front()].task;
    heat.race.folds = cache_.race_folds[heat.race.task];
    heat.race.setup.error = cache_.rule.error;
    heat.race.setup.probes = race_probes(static_cast<int>(heat.race.folds.size()));
    for (const FoldId fold : heat.race.folds)
      heat.race.setup.weights.push_back(cache_.weights(heat.race.task, fold));
    for (const std::size_t i : members) {
      const Entrant& entrant = entrants_[i];
      D2C_EXPECTS(entrant.set < sets_.size());
      heat.race.sets.push_back(entrant.set);
      heat.race.setup.required.push_back(entrant.required ? 1 : 0);
      const LossCache::Place place = cache_.find(sets_[entrant.set], entrant.task);
      for (std::size_t fold = 0; fold < n_folds_; ++fold)
        heat.losses.push_back(place.losses == nullptr ? nan : place.losses[fold]);
    }
    heat.race.known = heat.losses;
    heat.members = std::move(members);
    return heat;
  }

  /// Races on what is known. @return false if that does not suffice
  bool decide(Heat& heat) const {
    std::vector<double> in_order;
    for (std::size_t c = 0; c < heat.members.size(); ++c)
      for (const FoldId fold : heat.race.folds)
        in_order.push_back(heat.losses[c * n_folds_ + fold.index()]);
    bool suffices = true;
    heat.outcome = race(heat.race.setup, in_order, [&](std::size_t c, int begin, int end) {
      const auto in_race = std::span(in_order).subspan(c * heat.race.folds.size());
      suffices &= std::none_of(in_race.begin() + begin, in_race.begin() + end,
                               [](double loss) { return std::isnan(loss); });
      // Those that stay to the end are known with all folds, the kept ones too.
      if (end == std::ssize(heat.race.folds))
        suffices &= cache_.knows_all(&heat.losses[c * n_folds_]);
    });
    return suffices;
  }

  /// Parts of the examples that a contestant is looked at on.
  [[nodiscard]] int parts(const Heat& heat, std::size_t c) const {
    return heat.is_dropped(c) ? heat.outcome.seen[c] : cache_.chosen.n();
  }

  [[nodiscard]] bool looks_at_more(const Heat& heat) const {
    for (std::size_t c = 0; c < heat.members.size(); ++c)
      if (cache_.find(sets_[heat.race.sets[c]], heat.race.task).asked < parts(heat, c)) return true;
    return false;
  }

  [[nodiscard]] double exact(const Heat& heat, std::size_t c) const {
    return cache_.mean(heat.race.task, &heat.losses[c * n_folds_], LossCache::Folds::chosen);
  }

  void measure(std::span<Heat* const> heats) {
    std::vector<TaskSet> asked_sets;
    std::vector<std::size_t> asked_set(sets_.size(), Race::not_needed);
    std::vector<Race> races;
    for (const Heat* heat : heats) {
      Race& race = races.emplace_back(heat->race);
      for (std::size_t c = 0; c < race.sets.size(); ++c) {
        std::size_t& set = asked_set[race.sets[c]];
        if (!cache_.knows_all(&race.known[c * n_folds_]) && set == Race::not_needed) {
          set = asked_sets.size();
          asked_sets.push_back(sets_[race.sets[c]]);
        }
        race.sets[c] = set;
      }
    }
    const std::vector<double> values = cache_.inner.race(asked_sets, races);
    auto from = values.begin();
    for (Heat* heat : heats) {
      const auto end = from + std::ssize(heat->losses);
      D2C_EXPECTS(end <= values.end());
      heat->losses.assign(from, end);
      from = end;
      static_cast<void>(decide(*heat));
      for (std::size_t c = 0; c < heat->members.size(); ++c) {
        const auto refuse = [&](FoldId fold) {
          refuse_unless_finite(heat->losses[c * n_folds_ + fold.index()], sets_[heat->race.sets[c]],
                               heat->race.task);
        };
        for (const FoldId fold : heat->seen(c)) refuse(fold);
        // Those that were kept from the search too.
        if (!heat->is_dropped(c)) std::ranges::for_each(cache_.chosen.ids(), refuse);
      }
    }
    D2C_EXPECTS(from == values.end());
  }

  /// Keeps what the races have looked at, and no more: what was measured to check them must not
  /// change what follows.
  void remember(std::span<const Heat> heats) {
    std::map<TaskSet, std::map<TaskId, std::vector<double>>> seen;
    for (const Heat& heat : heats) {
      count(heat);
      for (std::size_t c = 0; c < heat.members.size(); ++c) {
        const double* losses = &heat.losses[c * n_folds_];
        std::vector<double>& kept = seen[sets_[heat.race.sets[c]]][heat.race.task];
        if (!heat.is_dropped(c)) {
          kept.assign(losses, losses + n_folds_);
          continue;
        }
        kept.assign(n_folds_, nan);
        for (const FoldId fold : heat.seen(c)) kept[fold.index()] = losses[fold.index()];
      }
    }
    std::vector<CachedOracle::Entry> entries;
    for (const auto& [set, of_task] : seen) {
      CachedOracle::Entry& entry = entries.emplace_back(CachedOracle::Entry{set, {}, {}});
      for (const auto& [task, losses] : of_task) {
        entry.tasks.push_back(task);
        entry.losses.insert(entry.losses.end(), losses.begin(), losses.end());
      }
    }
    cache_.keep(entries);
    for (const Heat& heat : heats)
      for (std::size_t c = 0; c < heat.members.size(); ++c)
        cache_.ask(sets_[heat.race.sets[c]], heat.race.task, parts(heat, c));
  }

  void count(const Heat& heat) {
    if (heat.is_new && heat.members.size() > 1) ++cache_.race_counts.races;
    for (std::size_t c = 0; c < heat.members.size(); ++c) {
      const LossCache::Place place = cache_.find(sets_[heat.race.sets[c]], heat.race.task);
      const bool is_dropped = heat.is_dropped(c);
      if (heat.is_new && heat.members.size() > 1 && heat.race.setup.required[c] == 0) {
        ++cache_.race_counts.entrants;
        cache_.race_counts.dropped += is_dropped ? 1 : 0;
      }
      const bool was_known =
          place.losses != nullptr && (is_dropped || cache_.knows_all(place.losses));
      if (place.asked == 0) {
        ++cache_.counts.evaluations;
        cache_.counts.replayed += was_known ? 1 : 0;
      } else if (place.asked < cache_.chosen.n() && !is_dropped) {
        ++cache_.race_counts.completed;
        cache_.completed[heat.race.task] += was_known ? 0 : 1;
      } else {
        ++cache_.counts.cached;
      }
    }
    if (heat.race.measure_all) check(heat);
  }

  void check(const Heat& heat) {
    const double chosen = exact(heat, heat.outcome.winner);
    double lowest = chosen;
    for (std::size_t c = 0; c < heat.members.size(); ++c) {
      if (!heat.is_dropped(c)) continue;
      ++cache_.race_counts.checked_drops;
      cache_.race_counts.wrong_drops += exact(heat, c) < chosen ? 1 : 0;
      lowest = std::min(lowest, exact(heat, c));
    }
    ++cache_.race_counts.checked;
    cache_.race_counts.wrong_races += lowest < chosen ? 1 : 0;
    cache_.race_counts.regret += chosen - lowest;
    cache_.race_counts.worst_regret = std::max(cache_.race_counts.worst_regret, chosen - lowest);
  }

  LossCache& cache_;
  std::size_t n_folds_;
  std::span<const TaskSet> sets_;
  std::span<const Entrant> entrants_;
};

}  // namespace

std::vector<Contested> race_entrants(LossCache& cache, std::span<const TaskSet> sets,
                                     std::span<const Entrant> entrants) {
  return Contest(cache, sets, entrants).run();
}

}  // namespace d2c::cluster
