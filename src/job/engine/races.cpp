#include "engine/races.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "d2c/comm/distribution.hpp"
#include "d2c/eval/recent_adapter.hpp"

namespace d2c::job {
namespace {

/// The stretches of races as units of the engine. A unit goes by the number of its contestant: of
/// each, one is under way at a time.
class RaceUnits final : public eval::UnitSource {
 public:
  RaceUnits(WorkItems& items, const RaceInputs& inputs, std::span<const cluster::Race> races,
            const PrepareAdapter& prepare, RaceResults& results)
      : items_(items), inputs_(inputs), races_(races), adapters_(prepare), results_(results) {}

  [[nodiscard]] std::optional<eval::Unit> take(Index least) override {
    while (true) {
      const Index waiting = n_waiting();
      if (waiting >= std::max(least, Index{1})) {
        if (auto unit = next_waiting()) return unit;
        continue;
      }
      const auto race = items_.take(least - waiting);
      if (!race) return std::nullopt;
      begin(static_cast<std::size_t>(*race));
      least = 1;
    }
  }

  [[nodiscard]] std::optional<eval::Unit> fetch() override {
    auto unit = next_waiting();
    while (!unit) {
      const auto race = items_.fetch();
      if (!race) return std::nullopt;
      begin(static_cast<std::size_t>(*race));
      unit = next_waiting();
    }
    return unit;
  }

  void report(const eval::Unit& unit, eval::UnitResult result) override {
    const std::scoped_lock lock(mutex_);
    const auto [race, stretch] = under_way_.at(unit.id);
    under_way_.erase(unit.id);
    Running& running = running_.at(race);
    running.run->finish(stretch, unit, std::move(result));
    if (--running.n_missing == 0) go_on(race);
  }

 private:
  struct Place {
    std::size_t race = 0;
    RaceRun::Stretch stretch;
  };
  struct Running {
    std::unique_ptr<RaceRun> run;
    std::size_t n_missing = 0;  ///< stretches that are not reported yet
  };

  void begin(std::size_t race) {
    const std::size_t first = results_.begin[race];
    const std::size_t n = results_.begin[race + 1] - first;
    const auto n_folds = static_cast<std::size_t>(inputs_.folds.n_folds());
    auto run = std::make_unique<RaceRun>(
        inputs_, races_[race], std::span(results_.losses).subspan(first * n_folds, n * n_folds),
        std::span(results_.work).subspan(first, n));
    const std::scoped_lock lock(mutex_);
    running_[race].run = std::move(run);
    go_on(race);
  }

  /// Races that have begun come first: they hold memory.
  void go_on(std::size_t race) {
    Running& running = running_.at(race);
    const auto missing = running.run->next();
    running.n_missing = missing.size();
    for (auto m = missing.rbegin(); m != missing.rend(); ++m) waiting_.push_front({race, *m});
    if (missing.empty()) running_.erase(race);
  }

  [[nodiscard]] Index n_waiting() {
    const std::scoped_lock lock(mutex_);
    return std::ssize(waiting_);
  }

  [[nodiscard]] std::optional<eval::Unit> next_waiting() {
    eval::Unit unit;
    std::size_t set = 0;
    {
      const std::scoped_lock lock(mutex_);
      if (waiting_.empty()) return std::nullopt;
      const Place place = waiting_.front();
      waiting_.pop_front();
      const std::size_t contestant = place.stretch.contestant;
      unit = running_.at(place.race).run->start(place.stretch);
      unit.id = static_cast<Index>(results_.begin[place.race] + contestant);
      under_way_[unit.id] = place;
      set = races_[place.race].sets[contestant];
    }
    unit.adapter = adapters_(static_cast<Index>(set));
    return unit;
  }

  WorkItems& items_;
  const RaceInputs& inputs_;
  std::span<const cluster::Race> races_;
  eval::RecentAdapter adapters_;
  RaceResults& results_;
  std::mutex mutex_;
  std::map<std::size_t, Running> running_;
  std::deque<Place> waiting_;
  std::map<Index, Place> under_way_;  ///< by unit
};

std::span<double> figures_of(std::span<RaceWork> work) {
  constexpr std::size_t n_figures = sizeof(RaceWork) / sizeof(double);
  static_assert(std::is_standard_layout_v<RaceWork> && sizeof(RaceWork) % sizeof(double) == 0);
  return {work.empty() ? nullptr : &work.front().parts, work.size() * n_figures};
}

}  // namespace

RaceResults::RaceResults(std::span<const cluster::Race> races, std::size_t n_folds) : begin{0} {
  for (const cluster::Race& race : races) begin.push_back(begin.back() + race.sets.size());
  losses.resize(begin.back() * n_folds);
  work.resize(begin.back());
}

RaceResults measure_races(comm::Communicator& comm, Scheduler& scheduler, const RaceInputs& inputs,
                          std::span<const cluster::Race> races, const PrepareAdapter& prepare,
                          PhaseTimers& timers) {
  std::vector<double> costs;
  costs.reserve(races.size());
  for (const cluster::Race& race : races) {
    costs.push_back(scheduler.costs()(race.task, Split::few_shot) *
                    static_cast<double>(n_measured(race)));
  }
  RaceResults results(races, static_cast<std::size_t>(inputs.folds.n_folds()));
  scheduler.run(comm::cut(costs, comm.size()), [&](WorkItems& items) {
    return std::make_unique<RaceUnits>(items, inputs, races, prepare, results);
  });
  const auto timer = timers.scope("reduce");
  comm.sum(results.losses);
  comm.sum(figures_of(results.work));
  return results;
}

}  // namespace d2c::job
