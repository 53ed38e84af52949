// Races of a CachedOracle.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// A number in [0, 1) that depends on the task and the content of the sets alone.
double draw(std::uint64_t seed, const Race& race, std::span<const TaskSet> sets) {
  std::string content = fmt::format("{}", race.task);
  for (const int set : race.sets) content += fmt::format(":{}", fmt::join(sets[at(set)], " "));
  return CounterRng(seed, hash_name("cluster.race.check") + hash_name(content)).uniform();
}

}  // namespace

/// A race, and what is known of its contestants.
struct CachedOracle::Heat {
  std::vector<std::size_t> members;  ///< [contestants] indices of entrants
  Race race;
  std::vector<double> losses;  ///< [contestants, n_folds] NaN = not known
  RaceOutcome outcome;
  bool is_new = true;  ///< it looks at something that the caller did not ask for before

  [[nodiscard]] bool is_dropped(std::size_t c) const {
    return outcome.seen[c] < std::ssize(race.folds);
  }
};

std::vector<Contested> CachedOracle::contest(std::span<const TaskSet> sets,
                                             std::span<const Entrant> entrants) {
  std::vector<Contested> result(entrants.size(), Contested{0, true});
  if (!rule_.is_on()) {
    std::vector<Query> queries;
    for (const Entrant& entrant : entrants) queries.push_back({entrant.set, entrant.task});
    const std::vector<double> values = losses(sets, queries);
    for (std::size_t i = 0; i < values.size(); ++i) result[i].loss = values[i];
    return result;
  }
  std::map<int, std::vector<std::size_t>> of_task;
  for (std::size_t i = 0; i < entrants.size(); ++i) of_task[entrants[i].task].push_back(i);
  std::vector<Heat> heats;
  std::vector<Heat*> unknown;
  heats.reserve(of_task.size());
  for (auto& [task, members] : of_task) {
    Heat& heat = heats.emplace_back(this->heat(sets, entrants, std::move(members)));
    const bool suffices = run(heat);
    heat.is_new = !suffices || looks_at_more(sets, heat);
    heat.race.measure_all = heat.is_new && draw(rule_.seed, heat.race, sets) < rule_.check;
    if (!suffices || heat.race.measure_all) unknown.push_back(&heat);
  }
  if (!unknown.empty()) measure(sets, unknown);
  remember(sets, heats);
  for (const Heat& heat : heats) {
    for (std::size_t c = 0; c < heat.members.size(); ++c) {
      const double* losses = &heat.losses[c * chosen_.size()];
      result[heat.members[c]] =
          heat.is_dropped(c) ? Contested{heat.outcome.mean[c], false}
                             : Contested{reduce(heat.race.task, losses, Folds::chosen), true};
    }
  }
  return result;
}

CachedOracle::Heat CachedOracle::heat(std::span<const TaskSet> sets,
                                      std::span<const Entrant> entrants,
                                      std::vector<std::size_t> members) const {
  Heat heat;
  heat.race.task = entrants[members.front()].task;
  heat.race.folds = race_folds_[at(heat.race.task)];
  heat.race.setup.error = rule_.error;
  heat.race.setup.looks = race_looks(static_cast<int>(heat.race.folds.size()));
  for (const int fold : heat.race.folds)
    heat.race.setup.weights.push_back(weights_[at(heat.race.task) * chosen_.size() + at(fold)]);
  for (const std::size_t i : members) {
    const Entrant& entrant = entrants[i];
    D2C_EXPECTS(entrant.set >= 0 && entrant.set < std::ssize(sets));
    heat.race.sets.push_back(entrant.set);
    heat.race.setup.required.push_back(entrant.required ? 1 : 0);
    const Place place = find(sets[at(entrant.set)], entrant.task);
    for (std::size_t fold = 0; fold < chosen_.size(); ++fold)
      heat.losses.push_back(place.losses == nullptr ? nan : place.losses[fold]);
  }
  heat.race.known = heat.losses;
  heat.members = std::move(members);
  return heat;
}

bool CachedOracle::run(Heat& heat) const {
  std::vector<double> in_order;
  for (std::size_t c = 0; c < heat.members.size(); ++c)
    for (const int fold : heat.race.folds)
      in_order.push_back(heat.losses[c * chosen_.size() + at(fold)]);
  bool suffices = true;
  heat.outcome = cluster::race(heat.race.setup, in_order, [&](std::size_t c, int begin, int end) {
    for (int part = begin; part < end; ++part)
      suffices &= !std::isnan(in_order[c * heat.race.folds.size() + at(part)]);
    // Those that stay to the end are known with all folds, the kept ones too.
    if (end == std::ssize(heat.race.folds)) suffices &= knows_all(&heat.losses[c * chosen_.size()]);
  });
  return suffices;
}

bool CachedOracle::looks_at_more(std::span<const TaskSet> sets, const Heat& heat) const {
  for (std::size_t c = 0; c < heat.members.size(); ++c) {
    const int wanted = heat.is_dropped(c) ? heat.outcome.seen[c] : n_folds_;
    if (find(sets[at(heat.race.sets[c])], heat.race.task).asked < wanted) return true;
  }
  return false;
}

void CachedOracle::measure(std::span<const TaskSet> sets, std::span<Heat* const> heats) {
  std::vector<TaskSet> asked_sets;
  std::vector<int> asked_set(sets.size(), -1);
  std::vector<Race> races;
  for (const Heat* heat : heats) {
    Race& race = races.emplace_back(heat->race);
    for (std::size_t c = 0; c < race.sets.size(); ++c) {
      int& set = asked_set[at(race.sets[c])];
      if (!knows_all(&race.known[c * chosen_.size()]) && set < 0) {
        set = static_cast<int>(asked_sets.size());
        asked_sets.push_back(sets[at(race.sets[c])]);
      }
      race.sets[c] = set;
    }
  }
  const std::vector<double> values = inner_->race(asked_sets, races);
  auto from = values.begin();
  for (Heat* heat : heats) {
    const auto end = from + std::ssize(heat->losses);
    D2C_EXPECTS(end <= values.end());
    heat->losses.assign(from, end);
    from = end;
    static_cast<void>(run(*heat));
    for (std::size_t c = 0; c < heat->members.size(); ++c) {
      const auto refuse = [&](std::size_t fold) {
        refuse_unless_finite(heat->losses[c * chosen_.size() + fold], sets[at(heat->race.sets[c])],
                             heat->race.task);
      };
      for (int part = 0; part < heat->outcome.seen[c]; ++part) {
        refuse(at(heat->race.folds[at(part)]));
      }
      // Those that were kept from the search too.
      if (heat->is_dropped(c)) continue;
      for (std::size_t fold = 0; fold < chosen_.size(); ++fold) refuse(fold);
    }
  }
  D2C_EXPECTS(from == values.end());
}

/// Keeps what the races have looked at, and no more: what was measured to check them must not
/// change what follows.
void CachedOracle::remember(std::span<const TaskSet> sets, std::span<const Heat> heats) {
  std::map<TaskSet, std::map<int, std::vector<double>>> seen;
  for (const Heat& heat : heats) {
    count(sets, heat);
    for (std::size_t c = 0; c < heat.members.size(); ++c) {
      const double* losses = &heat.losses[c * chosen_.size()];
      std::vector<double>& kept = seen[sets[at(heat.race.sets[c])]][heat.race.task];
      if (!heat.is_dropped(c)) {
        kept.assign(losses, losses + chosen_.size());
        continue;
      }
      kept.assign(chosen_.size(), nan);
      for (int part = 0; part < heat.outcome.seen[c]; ++part) {
        const auto fold = at(heat.race.folds[at(part)]);
        kept[fold] = losses[fold];
      }
    }
  }
  std::vector<Entry> entries;
  for (const auto& [set, of_task] : seen) {
    Entry& entry = entries.emplace_back(Entry{set, {}, {}});
    for (const auto& [task, losses] : of_task) {
      entry.tasks.push_back(task);
      entry.losses.insert(entry.losses.end(), losses.begin(), losses.end());
    }
  }
  keep(entries);
  for (const Heat& heat : heats) {
    for (std::size_t c = 0; c < heat.members.size(); ++c) {
      Row& row = rows_.at(sets[at(heat.race.sets[c])]);
      const auto place = std::ranges::lower_bound(row.tasks, heat.race.task) - row.tasks.begin();
      int& asked = row.asked[static_cast<std::size_t>(place)];
      asked = std::max(asked, heat.is_dropped(c) ? heat.outcome.seen[c] : n_folds_);
    }
  }
}

void CachedOracle::count(std::span<const TaskSet> sets, const Heat& heat) {
  if (heat.is_new && heat.members.size() > 1) ++race_counts_.races;
  for (std::size_t c = 0; c < heat.members.size(); ++c) {
    const Place place = find(sets[at(heat.race.sets[c])], heat.race.task);
    const bool is_dropped = heat.is_dropped(c);
    if (heat.is_new && heat.members.size() > 1 && heat.race.setup.required[c] == 0) {
      ++race_counts_.entrants;
      race_counts_.dropped += is_dropped ? 1 : 0;
    }
    const bool was_known = place.losses != nullptr && (is_dropped || knows_all(place.losses));
    if (place.asked == 0) {
      ++counts_.evaluations;
      counts_.replayed += was_known ? 1 : 0;
    } else if (place.asked < n_folds_ && !is_dropped) {
      ++race_counts_.completed;
      completed_[at(heat.race.task)] += was_known ? 0 : 1;
    } else {
      ++counts_.cached;
    }
  }
  if (heat.race.measure_all) check(heat);
}

void CachedOracle::check(const Heat& heat) {
  const auto exact = [&](std::size_t c) {
    return reduce(heat.race.task, &heat.losses[c * chosen_.size()], Folds::chosen);
  };
  const double chosen = exact(heat.outcome.winner);
  double lowest = chosen;
  for (std::size_t c = 0; c < heat.members.size(); ++c) {
    if (!heat.is_dropped(c)) continue;
    ++race_counts_.checked_drops;
    race_counts_.wrong_drops += exact(c) < chosen ? 1 : 0;
    lowest = std::min(lowest, exact(c));
  }
  ++race_counts_.checked;
  race_counts_.wrong_races += lowest < chosen ? 1 : 0;
  race_counts_.regret += chosen - lowest;
  race_counts_.worst_regret = std::max(race_counts_.worst_regret, chosen - lowest);
}

}  // namespace d2c::cluster
