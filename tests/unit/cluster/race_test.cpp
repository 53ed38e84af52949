#include "d2c/cluster/race.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

RaceSetup setup_of(int contestants, int parts, double error) {
  return {.weights = std::vector<double>(static_cast<std::size_t>(parts), 1.0),
          .required = std::vector<char>(static_cast<std::size_t>(contestants), 0),
          .probes = race_probes(parts),
          .error = error};
}

RaceOutcome run(const RaceSetup& setup, const std::vector<double>& losses) {
  return race(setup, losses, [](std::size_t, int, int) {});
}

double mean_of(const std::vector<double>& losses, std::size_t contestant, std::size_t parts) {
  const auto begin = losses.begin() + static_cast<std::ptrdiff_t>(contestant * parts);
  return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(parts), 0.0) /
         static_cast<double>(parts);
}

/// Share of random races that lose the contestant with the lowest mean over all parts.
double wrong_share(int contestants, int parts, double gap, double error, std::uint64_t seed) {
  constexpr int races = 3000;
  CounterRng rng(seed, 3);
  int wrong = 0;
  for (int r = 0; r < races; ++r) {
    std::vector<double> shared;
    for (int i = 0; i < parts; ++i) shared.push_back(rng.normal());
    std::vector<double> losses;
    for (int c = 0; c < contestants; ++c)
      for (int i = 0; i < parts; ++i)
        losses.push_back(3 + shared[static_cast<std::size_t>(i)] + gap * c + 0.3 * rng.normal());
    const RaceOutcome outcome = run(setup_of(contestants, parts, error), losses);
    const auto n = static_cast<std::size_t>(parts);
    for (std::size_t c = 0; c < outcome.seen.size(); ++c)
      if (mean_of(losses, c, n) < mean_of(losses, outcome.winner, n)) {
        ++wrong;
        break;
      }
  }
  return static_cast<double>(wrong) / races;
}

TEST(Race, LosesTheBestNoMoreOftenThanStated) {
  for (const double error : {0.05, 0.2})
    for (const int contestants : {2, 5})
      for (const int parts : {6, 10, 40})
        for (const double gap : {0.0, 0.05, 0.2}) {
          const double share = wrong_share(contestants, parts, gap, error, 11);
          const double deviation = std::sqrt(error * (1 - error) / 3000);
          EXPECT_LE(share, error + 3 * deviation)
              << contestants << " contestants, " << parts << " parts, gap " << gap;
        }
}

TEST(Race, NeverDropsOneOfEquals) {
  CounterRng rng(1, 1);
  std::vector<double> losses;
  for (int i = 0; i < 40; ++i) losses.push_back(rng.normal());
  std::vector<double> all;
  for (int c = 0; c < 4; ++c) all.insert(all.end(), losses.begin(), losses.end());
  const RaceOutcome outcome = run(setup_of(4, 40, 0.5), all);
  EXPECT_EQ(outcome.seen, (std::vector<int>{40, 40, 40, 40}));
  EXPECT_EQ(outcome.winner, 0U);
}

TEST(Race, DropsAtTheFirstProbeWhatIsAlwaysWorse) {
  const std::vector<double> losses{1, 2, 1, 2, 1, 2, 1, 2,  //
                                   3, 4, 3, 4, 3, 4, 3, 4,  //
                                   2, 3, 2, 3, 2, 3, 2, 9};
  RaceSetup setup = setup_of(3, 8, 0.05);
  setup.required[2] = 1;
  const RaceOutcome outcome = run(setup, losses);
  EXPECT_EQ(outcome.seen, (std::vector<int>{8, 4, 8}));
  EXPECT_EQ(outcome.winner, 0U);
  // Two above the winner, whose mean is known over all parts.
  EXPECT_DOUBLE_EQ(outcome.mean[1], 1.5 + 2);
  EXPECT_DOUBLE_EQ(outcome.mean[2], mean_of(losses, 2, 8));
}

TEST(Race, AsksForNothingOfADroppedContestant) {
  const std::vector<double> losses{1, 1, 1, 1, 1, 1, 5, 5, 5, nan, nan, nan};
  std::vector<int> asked(2, 0);
  const RaceOutcome outcome =
      race(setup_of(2, 6, 0.05), losses, [&](std::size_t contestant, int begin, int end) {
        EXPECT_EQ(begin, asked[contestant]);
        asked[contestant] = end;
      });
  EXPECT_EQ(asked, (std::vector<int>{6, 3}));
  EXPECT_EQ(outcome.seen, asked);
}

TEST(Race, OfFewPartsMeasuresAll) {
  for (const int parts : {1, 2, 5}) {
    std::vector<double> losses(static_cast<std::size_t>(2 * parts), 1.0);
    std::fill(losses.begin(), losses.begin() + parts, 9.0);
    const RaceOutcome outcome = run(setup_of(2, parts, 0.5), losses);
    EXPECT_EQ(outcome.seen, (std::vector<int>{parts, parts}));
    EXPECT_EQ(outcome.winner, 1U);
  }
}

TEST(Race, OfOneContestantMeasuresIt) {
  const RaceOutcome outcome = run(setup_of(1, 12, 0.05), std::vector<double>(12, 2.0));
  EXPECT_EQ(outcome.seen, std::vector<int>{12});
}

TEST(Race, ProbesHalveTheParts) {
  EXPECT_EQ(race_probes(1), std::vector<int>{1});
  EXPECT_EQ(race_probes(5), std::vector<int>{5});
  EXPECT_EQ(race_probes(10), (std::vector<int>{5, 10}));
  EXPECT_EQ(race_probes(32), (std::vector<int>{4, 8, 16, 32}));
}

TEST(Race, OrderIsAPermutationOfItsOwnForEveryTask) {
  const std::vector<int> order = race_order(20, 3, 5);
  std::vector<int> sorted = order;
  std::ranges::sort(sorted);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(order, race_order(20, 3, 5));
  EXPECT_NE(order, race_order(20, 4, 5));
  EXPECT_NE(order, race_order(20, 3, 6));
}

TEST(Race, PartsWeighAsManyExamplesAsTheyHave) {
  RaceSetup setup = setup_of(2, 6, 0.05);
  setup.weights = {2, 1, 1, 1, 1, 2};
  const RaceOutcome outcome = run(setup, {1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7});
  EXPECT_DOUBLE_EQ(outcome.mean[0], (2 * 1 + 2 + 3 + 4 + 5 + 2 * 6) / 8.0);
}

/// Losses by example: Points, with noise by task and example and, less of it, by set. Measures in
/// races no more than it is asked for, and counts.
class ExampleOracle final : public LossOracle {
 public:
  ExampleOracle(const Points& points, int n_folds, int kept = 0)
      : points_(points), n_folds_(n_folds), kept_(kept) {}

  [[nodiscard]] int n_tasks() const override { return points_.n_tasks(); }
  [[nodiscard]] int n_folds() const override { return n_folds_; }
  [[nodiscard]] double loss(const TaskSet& set, TaskId task, int fold) const {
    double key = task.value() + 100.0 * fold;
    for (const TaskId member : set) key = 1.7 * key + member.value();
    CounterRng of_set(5, static_cast<std::uint64_t>(std::abs(key) * 1000));
    CounterRng of_example(6, static_cast<std::uint64_t>(task.value() * 1000 + fold));
    const double mean = points_.loss(set, task);
    // What is kept from the search prefers the opposite.
    return (fold >= n_folds_ - kept_ ? 50 - mean : mean) + of_example.normal() +
           noise * of_set.normal();
  }
  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    std::vector<double> values;
    for (const Query& query : queries)
      for (int fold = 0; fold < n_folds_; ++fold)
        values.push_back(measured(sets[query.set], query.task, fold));
    return values;
  }
  [[nodiscard]] std::vector<double> race(std::span<const TaskSet> sets,
                                         std::span<const Race> races) override {
    if (!lazy) return LossOracle::race(sets, races);
    const auto n = static_cast<std::size_t>(n_folds_);
    std::vector<double> values;
    for (const Race& race : races) {
      std::vector<double> losses = race.known;
      const std::size_t parts = race.folds.size();
      std::vector<double> in_order(race.sets.size() * parts, nan);
      const auto measure = [&](std::size_t c, int begin, int end) {
        for (int part = begin; part < end; ++part) {
          const std::size_t fold = race.folds[static_cast<std::size_t>(part)].index();
          double& value = losses[c * n + fold];
          if (std::isnan(value))
            value = measured(sets[race.sets[c]], race.task, static_cast<int>(fold));
          in_order[c * parts + static_cast<std::size_t>(part)] = value;
        }
        if (end < std::ssize(race.folds)) return;
        for (int fold = n_folds_ - kept_; fold < n_folds_; ++fold) {
          double& value = losses[c * n + static_cast<std::size_t>(fold)];
          if (std::isnan(value)) value = loss(sets[race.sets[c]], race.task, fold);
        }
      };
      const RaceOutcome outcome = cluster::race(race.setup, in_order, measure);
      for (std::size_t c = 0; race.measure_all && c < race.sets.size(); ++c)
        measure(c, outcome.seen[c], static_cast<int>(parts));
      values.insert(values.end(), losses.begin(), losses.end());
    }
    return values;
  }

  bool lazy = true;
  double noise = 0.2;
  std::int64_t n_measured = 0;

 private:
  double measured(const TaskSet& set, TaskId task, int fold) {
    ++n_measured;
    return loss(set, task, fold);
  }

  const Points& points_;
  int n_folds_;
  int kept_;
};

FoldSplit all_but(int n_tasks, int n_folds, int kept) {
  const ExampleFolds folds{.choose = n_folds - kept, .verify = kept};
  return folds.split(IdVector<TaskId, std::int64_t>(n_tasks, n_folds));
}

SearchResult search(CachedOracle& cache, const std::string& name, int k) {
  const Objective objective(ObjectiveKind::loss, cache.n_tasks());
  const Problem problem{.oracle = cache, .objective = objective};
  return search_method(name).run(problem, {.k = k, .restarts = 3});
}

const std::vector<TaskSet> three{{0, 1}, {2, 3}, {4}};

std::vector<Entrant> all_against_all(int n_tasks) {
  std::vector<Entrant> entrants;
  for (const TaskId task : ids<TaskId>(n_tasks))
    for (std::size_t set = 0; set < 3; ++set)
      entrants.push_back({set, task, set == task.index() % 3});
  return entrants;
}

TEST(Contest, WithoutRacingIsExact) {
  const Points points = random_points(6, 2, 3, 0.4, 1);
  ExampleOracle inner(points, 10);
  CachedOracle cache(inner);
  const auto entrants = all_against_all(6);
  const auto contested = cache.contest(three, entrants);
  ExampleOracle again(points, 10);
  CachedOracle exact(again);
  for (std::size_t i = 0; i < entrants.size(); ++i) {
    const Query query{entrants[i].set, entrants[i].task};
    EXPECT_TRUE(contested[i].exact);
    EXPECT_EQ(contested[i].loss, exact.losses(three, std::span(&query, 1)).front());
  }
}

TEST(Contest, KeepsWhatIsRequiredAndTheBestExactAndMeasuresLess) {
  const Points points = random_points(30, 3, 3, 0.4, 2);
  ExampleOracle inner(points, 10);
  CachedOracle cache(inner, {}, {.error = 0.05});
  const auto entrants = all_against_all(30);
  const auto contested = cache.contest(three, entrants);
  ExampleOracle whole(points, 10);
  CachedOracle exact(whole);
  int estimated = 0;
  for (std::size_t i = 0; i < entrants.size(); ++i) {
    const Query query{entrants[i].set, entrants[i].task};
    const double loss = exact.losses(three, std::span(&query, 1)).front();
    EXPECT_TRUE(contested[i].exact || !entrants[i].required);
    if (contested[i].exact) {
      EXPECT_EQ(contested[i].loss, loss);
    } else {
      ++estimated;
      EXPECT_NEAR(contested[i].loss, loss, 1.0);
      EXPECT_EQ(cache.known(three[entrants[i].set], entrants[i].task), std::nullopt);
    }
  }
  EXPECT_GT(estimated, 20);
  EXPECT_EQ(inner.n_measured, 30 * 3 * 10 - estimated * 5);
  EXPECT_EQ(cache.race_counts().dropped, estimated);
  EXPECT_EQ(cache.race_counts().entrants, 60);
  EXPECT_EQ(cache.race_counts().races, 30);
  EXPECT_EQ(cache.counts().evaluations, 90);
}

TEST(Contest, OutcomeDependsNeitherOnWhatIsKnownNorOnHowItIsMeasured) {
  const Points points = random_points(12, 3, 3, 0.4, 3);
  const auto entrants = all_against_all(12);
  ExampleOracle inner(points, 12);
  CachedOracle cache(inner, {}, {.error = 0.1});
  const auto first = cache.contest(three, entrants);

  ExampleOracle eager(points, 12);
  eager.lazy = false;
  CachedOracle other(eager, {}, {.error = 0.1});
  std::vector<Query> some;
  for (std::size_t task = 0; task < 12; task += 2) some.push_back({task % 3, TaskId(task)});
  (void)other.losses(three, some);
  const auto second = other.contest(three, entrants);
  const auto third = other.contest(three, entrants);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].loss, second[i].loss);
    EXPECT_EQ(first[i].exact, second[i].exact);
    EXPECT_EQ(first[i].loss, third[i].loss);
  }
  EXPECT_EQ(other.counts().evaluations, 36);
}

TEST(Contest, LossesAskedForAfterADropAreExactAndCountOnce) {
  const Points points = random_points(12, 3, 3, 0.4, 3);
  const auto entrants = all_against_all(12);
  ExampleOracle inner(points, 12);
  CachedOracle cache(inner, {}, {.error = 0.1});
  const auto contested = cache.contest(three, entrants);
  std::vector<Query> queries;
  std::int64_t dropped = 0;
  for (std::size_t i = 0; i < entrants.size(); ++i) {
    queries.push_back({entrants[i].set, entrants[i].task});
    dropped += contested[i].exact ? 0 : 1;
  }
  ASSERT_GT(dropped, 0);
  const std::vector<double> losses = cache.losses(three, queries);
  EXPECT_EQ(cache.counts().evaluations, 36);
  EXPECT_EQ(cache.race_counts().completed, dropped);
  EXPECT_EQ(std::accumulate(cache.completed().begin(), cache.completed().end(), std::int64_t{0}),
            dropped);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    double sum = 0;
    for (int fold = 0; fold < 12; ++fold)
      sum += inner.loss(three[queries[i].set], queries[i].task, fold);
    EXPECT_EQ(losses[i], sum / 12);
  }
}

TEST(Contest, ExamplesKeptFromTheSearchDecideNothing) {
  const Points points = random_points(12, 3, 3, 0.4, 4);
  const auto entrants = all_against_all(12);
  ExampleOracle inner(points, 10, 1);
  CachedOracle cache(inner, all_but(12, 10, 1), {.error = 0.1});
  const auto contested = cache.contest(three, entrants);
  EXPECT_GT(cache.race_counts().dropped, 0);
  for (const TaskId task : ids<TaskId>(12)) {
    const auto of_task = std::span(contested).subspan(task.index() * 3, 3);
    double lowest = std::numeric_limits<double>::infinity();
    for (const Contested& one : of_task)
      if (one.exact) lowest = std::min(lowest, one.loss);
    for (int set = 0; set < 3; ++set) {
      double sum = 0;
      for (int fold = 0; fold < 9; ++fold)
        sum += inner.loss(three[static_cast<std::size_t>(set)], task, fold);
      EXPECT_GE(sum / 9, lowest - 1e-12) << task << " " << set;
    }
  }
  // What stays to the end is known on the kept examples too, for no more measurements.
  const std::int64_t before = inner.n_measured;
  std::vector<Query> exact;
  for (std::size_t i = 0; i < entrants.size(); ++i)
    if (contested[i].exact) exact.push_back({entrants[i].set, entrants[i].task});
  const std::vector<double> kept = cache.verify_losses(three, exact);
  EXPECT_EQ(inner.n_measured, before);
  EXPECT_EQ(kept.front(), inner.loss(three[exact[0].set], exact[0].task, 9));
}

TEST(Contest, ChecksChangeNoDecisionAndTellTheRegret) {
  const Points points = random_points(200, 3, 3, 0.4, 5);
  const auto entrants = all_against_all(200);
  // Enough noise to be wrong at times.
  ExampleOracle plain(points, 10);
  ExampleOracle checked(points, 10);
  plain.noise = checked.noise = 3;
  CachedOracle cache(plain, {}, {.error = 0.9});
  CachedOracle with_check(checked, {}, {.error = 0.9, .check = 1});
  const auto a = cache.contest(three, entrants);
  const auto b = with_check.contest(three, entrants);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].loss, b[i].loss);
    EXPECT_EQ(a[i].exact, b[i].exact);
  }
  EXPECT_EQ(checked.n_measured, 200 * 3 * 10);
  EXPECT_EQ(cache.race_counts().checked, 0);

  double regret = 0;
  int wrong = 0;
  for (const TaskId task : ids<TaskId>(200)) {
    double chosen = std::numeric_limits<double>::infinity();
    double lowest = chosen;
    for (int set = 0; set < 3; ++set) {
      double sum = 0;
      for (int fold = 0; fold < 10; ++fold)
        sum += plain.loss(three[static_cast<std::size_t>(set)], task, fold);
      lowest = std::min(lowest, sum / 10);
      if (a[task.index() * 3 + static_cast<std::size_t>(set)].exact)
        chosen = std::min(chosen, sum / 10);
    }
    regret += chosen - lowest;
    wrong += lowest < chosen ? 1 : 0;
  }
  EXPECT_GT(wrong, 0);
  EXPECT_EQ(with_check.race_counts().checked, 200);
  EXPECT_EQ(with_check.race_counts().wrong_races, wrong);
  EXPECT_NEAR(with_check.race_counts().regret, regret, 1e-9);
  EXPECT_EQ(with_check.race_counts().checked_drops, with_check.race_counts().dropped);
}

TEST(Contest, ChecksTheShareAskedFor) {
  const Points points = random_points(400, 3, 3, 0.4, 6);
  ExampleOracle inner(points, 10);
  CachedOracle cache(inner, {}, {.error = 0.05, .check = 0.25});
  (void)cache.contest(three, all_against_all(400));
  EXPECT_NEAR(static_cast<double>(cache.race_counts().checked), 100, 35);
}

TEST(Contest, RefusesALossThatIsNotFinite) {
  FunctionOracle inner(
      4,
      [](const TaskSet& set, TaskId task, int fold) {
        return task == 2 && set.front() == 4 - 2 && fold == 3 ? nan : 1.0 + fold;
      },
      8);
  CachedOracle cache(inner, {}, {.error = 0.05});
  const std::vector<TaskSet> sets{{0, 1}, {2}};
  std::vector<Entrant> entrants;
  for (const TaskId task : ids<TaskId>(4))
    for (std::size_t set = 0; set < 2; ++set) entrants.push_back({set, task, false});
  EXPECT_THROW((void)cache.contest(sets, entrants), InputError);
}

class RacingSearch : public testing::TestWithParam<const char*> {};

TEST_P(RacingSearch, ReportsTheExactObjectiveOfItsPartition) {
  const Points points = random_points(24, 4, 3, 0.4, 7);
  ExampleOracle inner(points, 10, 1);
  CachedOracle cache(inner, all_but(24, 10, 1), {.error = 0.05});
  const SearchResult found = search(cache, GetParam(), 4);
  EXPECT_GT(cache.race_counts().dropped, 0);
  double sum = 0;
  const auto clusters = found.partition.clusters();
  for (const TaskId task : ids<TaskId>(24)) {
    double of_task = 0;
    for (int fold = 0; fold < 9; ++fold)
      of_task += inner.loss(clusters[found.partition[task]], task, fold);
    EXPECT_EQ(found.loss(task, found.partition[task]), of_task / 9);
    sum += of_task / 9;
  }
  EXPECT_NEAR(found.objective, sum / 24, 1e-12);
  int hidden = 0;
  for (const TaskId task : ids<TaskId>(24))
    for (const ClusterId k : ids<ClusterId>(4)) {
      EXPECT_FALSE(std::isnan(found.estimate(task, k)));
      hidden += std::isnan(found.loss(task, k)) ? 1 : 0;
    }
  EXPECT_GT(hidden, 0);
}

TEST_P(RacingSearch, MeasuresLess) {
  const Points points = random_points(24, 4, 3, 0.4, 7);
  ExampleOracle raced(points, 10);
  ExampleOracle whole(points, 10);
  CachedOracle racing(raced, {}, {.error = 0.05});
  CachedOracle exact(whole);
  const SearchResult found = search(racing, GetParam(), 4);
  const SearchResult reference = search(exact, GetParam(), 4);
  EXPECT_LT(raced.n_measured, whole.n_measured);
  EXPECT_NEAR(found.objective, reference.objective, 0.05 * reference.objective);
}

TEST_P(RacingSearch, RepeatsEveryDecisionFromWhatItSaved) {
  const Points points = random_points(24, 4, 3, 0.4, 8);
  ExampleOracle inner(points, 10);
  const RaceRule rule{.error = 0.05, .check = 0.2};
  CachedOracle cache(inner, {}, rule);
  const SearchResult found = search(cache, GetParam(), 4);
  const auto saved = cache.save();
  // All, and the part that a job left behind that was stopped half way.
  for (const std::size_t n : {saved.size(), saved.size() / 2}) {
    ExampleOracle again(points, 10);
    CachedOracle restored(again, {}, rule);
    restored.restore(std::span(saved).first(n));
    const SearchResult repeated = search(restored, GetParam(), 4);
    EXPECT_EQ(repeated.partition, found.partition);
    EXPECT_EQ(repeated.objective, found.objective);
    EXPECT_EQ(repeated.counts.evaluations, found.counts.evaluations);
    EXPECT_EQ(repeated.restarts.size(), found.restarts.size());
    EXPECT_EQ(restored.race_counts().dropped, cache.race_counts().dropped);
    EXPECT_EQ(restored.race_counts().checked, cache.race_counts().checked);
    EXPECT_EQ(restored.race_counts().regret, cache.race_counts().regret);
    EXPECT_EQ(restored.race_counts().completed, cache.race_counts().completed);
    EXPECT_LT(again.n_measured, inner.n_measured);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RacingSearch, testing::Values("d2c", "auto", "random"));

TEST(CachedOracle, RefusesPartsOfLossesWhereNothingRaces) {
  const Points points = random_points(6, 2, 3, 0.4, 1);
  ExampleOracle inner(points, 3);
  const CachedOracle::Entry entry{{0, 1}, {2}, {1.0, nan, nan}};
  CachedOracle exact(inner);
  EXPECT_THROW(exact.restore(std::span(&entry, 1)), InputError);
  CachedOracle racing(inner, {}, {.error = 0.1});
  EXPECT_NO_THROW(racing.restore(std::span(&entry, 1)));
  EXPECT_EQ(racing.known({0, 1}, 2), std::nullopt);
}

}  // namespace
}  // namespace d2c::cluster
