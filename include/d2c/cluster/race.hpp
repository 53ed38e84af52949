#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "d2c/core/id.hpp"

namespace d2c::cluster {

/// Successive elimination of the sets that compete for a task: how sure it has to be.
struct RaceRule {
  /// Probability at most that a race drops the set that all examples would choose; 0 = no racing.
  double error = 0;
  /// Share of the races, drawn at random, whose dropped sets are measured all the same, to see what
  /// racing costs. Changes no decision.
  double check = 0;
  std::uint64_t seed = 0;

  [[nodiscard]] bool is_on() const { return error > 0; }
};

/// After how many of n parts of the examples a race decides: ascending, n is the last.
[[nodiscard]] std::vector<int> race_probes(int n);

/// The order in which a race looks at the parts of a task: a permutation of 0 .. n - 1 that depends
/// on the seed and the task alone.
[[nodiscard]] std::vector<int> race_order(int n, TaskId task, std::uint64_t seed);

/// What is known before a race.
struct RaceSetup {
  std::vector<double> weights;  ///< [parts] examples of each, > 0, in the order of looking
  std::vector<char> required;  ///< [contestants] 1 = has to be measured wholly; others may drop out
  std::vector<int> probes;     ///< parts seen when it decides: ascending, the last is all of them
  double error = 0;            ///< in (0, 1)
};

struct RaceOutcome {
  std::vector<int> seen;     ///< [contestants] parts looked at; fewer than all = dropped
  std::vector<double> mean;  ///< [contestants] loss; of a dropped one: see race()
  std::size_t winner = 0;    ///< lowest mean of those that were not dropped; the first of equals
};

/// Races contestants over parts of the examples. The outcome depends on nothing but the losses.
///
/// At each probe, a contestant that is not required is dropped if the mean of its
/// differences to the leader over the m parts seen so far exceeds t standard errors,
///   se^2 = s^2 / m (1 - m/n),   t: quantile 1 - error / ((contestants - 1) (probes - 1)) of
///   Student's
/// distribution with m - 1 degrees of freedom. The parts are drawn without replacement, hence the
/// factor of a finite population: what is bounded is the risk to drop the contestant that has the
/// lowest mean over all n parts, over the random order of the parts. The bound is exact as far as
/// the mean of m differences is normal (Bonferroni over contestants and probes).
///
/// The mean of a dropped contestant is an estimate: that of the winner, plus the mean of the
/// differences seen.
///
/// @param losses   [contestants, parts] in the order of looking; read where it was measured
/// @param measure  called with (contestant, begin, end) before parts [begin, end) are read; in
///                 ascending order of parts for each contestant
[[nodiscard]] RaceOutcome race(
    const RaceSetup& setup, std::span<const double> losses,
    const std::function<void(std::size_t contestant, int begin, int end)>& measure);

}  // namespace d2c::cluster
