#include "d2c/cluster/race.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <boost/math/distributions/students_t.hpp>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {
namespace {

constexpr int fewest = 3;  // parts that a standard error is taken from

/// The losses of a race, and what they say so far.
class Standings {
 public:
  Standings(const RaceSetup& setup, std::span<const double> losses)
      : setup_(setup), losses_(losses), n_(setup.weights.size()) {
    total_ = std::accumulate(setup.weights.begin(), setup.weights.end(), 0.0);
  }

  /// Over the first m parts.
  [[nodiscard]] double mean(std::size_t contestant, std::size_t m) const {
    double sum = 0;
    double weight = 0;
    for (std::size_t i = 0; i < m; ++i) {
      sum += setup_.weights[i] * losses_[contestant * n_ + i];
      weight += setup_.weights[i];
    }
    return sum / weight;
  }

  /// Mean difference over the first m parts, and its standard error as an estimate of that over all
  /// (ratio estimator: parts may have different numbers of examples).
  struct Difference {
    double mean;
    double error;
  };
  [[nodiscard]] Difference difference(std::size_t a, std::size_t b, std::size_t m) const {
    double weight = 0;
    for (std::size_t i = 0; i < m; ++i) weight += setup_.weights[i];
    const double mean_weight = weight / static_cast<double>(m);
    const double difference = mean(a, m) - mean(b, m);
    double squares = 0;
    for (std::size_t i = 0; i < m; ++i) {
      const double residual = losses_[a * n_ + i] - losses_[b * n_ + i] - difference;
      squares += std::pow(setup_.weights[i] / mean_weight * residual, 2);
    }
    const auto count = static_cast<double>(m);
    return {difference, std::sqrt(squares / (count - 1) / count * (1 - weight / total_))};
  }

 private:
  const RaceSetup& setup_;
  std::span<const double> losses_;
  std::size_t n_;
  double total_ = 0;
};

}  // namespace

std::vector<int> race_probes(int n) {
  D2C_EXPECTS(n > 0);
  std::vector<int> probes{n};
  while (probes.back() / 2 >= fewest) probes.push_back(probes.back() / 2);
  std::ranges::reverse(probes);
  return probes;
}

std::vector<int> race_order(int n, TaskId task, std::uint64_t seed) {
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  CounterRng rng(seed, hash_name("cluster.race") + task.index());
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

RaceOutcome race(const RaceSetup& setup, std::span<const double> losses,
                 const std::function<void(std::size_t, int, int)>& measure) {
  const std::size_t n_contestants = setup.required.size();
  D2C_EXPECTS(n_contestants > 0 && setup.error > 0 && setup.error < 1);
  D2C_EXPECTS(losses.size() == n_contestants * setup.weights.size());
  D2C_EXPECTS(!setup.probes.empty() && setup.probes.back() == std::ssize(setup.weights));
  const Standings standings(setup, losses);
  const std::vector<int>& probes = setup.probes;
  const double comparisons =
      static_cast<double>(n_contestants - 1) * static_cast<double>(probes.size() - 1);

  std::vector<std::size_t> running(n_contestants);
  std::iota(running.begin(), running.end(), std::size_t{0});
  RaceOutcome outcome{.seen = std::vector<int>(n_contestants, 0),
                      .mean = std::vector<double>(n_contestants, 0.0)};
  const auto leader_at = [&](int m) {
    return *std::ranges::min_element(
        running, {}, [&](std::size_t c) { return standings.mean(c, static_cast<std::size_t>(m)); });
  };
  for (const int probe : probes) {
    for (const std::size_t c : running) {
      measure(c, outcome.seen[c], probe);
      outcome.seen[c] = probe;
    }
    if (probe == probes.back() || n_contestants == 1) continue;
    const std::size_t leader = leader_at(probe);
    const boost::math::students_t student(probe - 1);
    const double t =
        boost::math::quantile(boost::math::complement(student, setup.error / comparisons));
    std::erase_if(running, [&](std::size_t c) {
      if (c == leader || setup.required[c] != 0) return false;
      const auto behind = standings.difference(c, leader, static_cast<std::size_t>(probe));
      return behind.mean > 0 && behind.mean > t * behind.error;
    });
  }
  outcome.winner = leader_at(probes.back());
  for (std::size_t c = 0; c < n_contestants; ++c) {
    const auto m = static_cast<std::size_t>(outcome.seen[c]);
    outcome.mean[c] = standings.mean(c, m);
    if (m < setup.weights.size())
      outcome.mean[c] +=
          standings.mean(outcome.winner, setup.weights.size()) - standings.mean(outcome.winner, m);
  }
  return outcome;
}

}  // namespace d2c::cluster
