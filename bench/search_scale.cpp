// Searches over many tasks, without a model: what they find, what they ask for and what they take.
//
//   bench_search_scale [--tasks 100,1000] [--k N] [--spread 0.5] [--dimensions 16] [--seeds N]
//                      [--search auto,d2c,...] [--max-evaluations N]
//
// Tasks are points around K centres (default: tasks / 20), drawn from a normal distribution; a
// merge is the mean of its members, and a task's loss 1 + its squared distance from the mean, per
// dimension. Points of one centre are `spread` apart, centres 1. While the spread is small the
// groups that were drawn, "planted", are the optimum; with a large one they say nothing. "excess"
// is how much of the loss above 1 a search leaves over the planted groups. A round is one call of
// the oracle: in a job, one collective step. Seconds are processor time of the search without the
// oracle.

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/cpu_time.hpp"
#include "d2c/core/rng.hpp"

#include "arguments.hpp"

namespace d2c {
namespace {

using cluster::Query;
using cluster::TaskSet;

struct Settings {
  std::vector<int> tasks{100, 1000};
  int k = 0;  ///< 0 = tasks / 20
  double spread = 0.5;
  int dimensions = 16;
  int seeds = 1;
  std::int64_t max_evaluations = 0;
  std::vector<std::string> searches{"auto", "agglomerative_loss", "d2c", "kmeans"};
};

class Points final : public cluster::LossOracle {
 public:
  Points(int n, int k, const Settings& settings, std::uint64_t seed)
      : d_(static_cast<std::size_t>(settings.dimensions)) {
    CounterRng rng(seed, hash_name("bench.search_scale"));
    std::vector<double> centres(static_cast<std::size_t>(k) * d_);
    for (double& value : centres) value = rng.normal();
    for (int task = 0; task < n; ++task) {
      planted_.push_back(ClusterId(task % k));
      for (std::size_t i = 0; i < d_; ++i)
        x_.push_back(centres[static_cast<std::size_t>(task % k) * d_ + i] +
                     settings.spread * rng.normal());
    }
  }

  [[nodiscard]] int n_tasks() const override { return planted_.n(); }

  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    const double begin = thread_cpu_seconds();
    ++rounds;
    std::vector<double> means(sets.size() * d_);
    for (std::size_t set = 0; set < sets.size(); ++set)
      for (const TaskId task : sets[set])
        for (std::size_t i = 0; i < d_; ++i)
          means[set * d_ + i] += of(task)[i] / static_cast<double>(sets[set].size());
    std::vector<double> values;
    for (const Query& query : queries) {
      double squares = 0;
      for (std::size_t i = 0; i < d_; ++i) {
        const double off = of(query.task)[i] - means[query.set * d_ + i];
        squares += off * off;
      }
      values.push_back(1 + squares / static_cast<double>(d_));
    }
    seconds += thread_cpu_seconds() - begin;
    return values;
  }

  [[nodiscard]] std::vector<double> cosines() const {
    std::vector<double> matrix;
    for (const TaskId a : planted_.ids())
      for (const TaskId b : planted_.ids())
        matrix.push_back(dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)));
    return matrix;
  }

  [[nodiscard]] const cluster::Assignment& planted() const { return planted_; }

  int rounds = 0;
  double seconds = 0;

 private:
  [[nodiscard]] const double* of(TaskId task) const { return &x_[task.index() * d_]; }
  [[nodiscard]] double dot(TaskId a, TaskId b) const {
    double sum = 0;
    for (std::size_t i = 0; i < d_; ++i) sum += of(a)[i] * of(b)[i];
    return sum;
  }

  std::size_t d_;
  std::vector<double> x_;  // [n_tasks, d]
  cluster::Assignment planted_;
};

double planted_objective(Points& points, int k) {
  const auto sets = cluster::Partition(points.planted(), k).clusters();
  double sum = 0;
  for (const TaskSet& set : sets) {
    std::vector<Query> queries;
    for (const TaskId task : set) queries.push_back({0, task});
    for (const double loss : points.losses(std::span(&set, 1), queries)) sum += loss;
  }
  return sum / points.n_tasks();
}

void measure(const Settings& settings, int n, const std::string& search) {
  const int k = settings.k > 0 ? settings.k : std::max(1, n / 20);
  double objective = 0;
  double excess = 0;
  double evaluations = 0;
  double rounds = 0;
  double seconds = 0;
  for (int seed = 0; seed < settings.seeds; ++seed) {
    Points points(n, k, settings, static_cast<std::uint64_t>(seed));
    const double planted = planted_objective(points, k);
    const std::vector<double> cosines = points.cosines();
    points.rounds = 0;
    points.seconds = 0;
    cluster::CachedOracle oracle(points);
    const cluster::Objective target(cluster::ObjectiveKind::loss, n);
    cluster::Problem problem{.oracle = oracle, .objective = target};
    problem.similarity = [&] { return cosines; };
    cluster::SearchOptions options{.k = k, .seed = static_cast<std::uint64_t>(seed)};
    options.max_evaluations = settings.max_evaluations;
    options.matrix = cluster::ResultMatrix::members;
    const double begin = thread_cpu_seconds();
    const cluster::SearchResult result = cluster::search_method(search).run(problem, options);
    seconds += (thread_cpu_seconds() - begin - points.seconds) / settings.seeds;
    objective += result.objective / settings.seeds;
    excess += ((result.objective - 1) / (planted - 1) - 1) / settings.seeds;
    evaluations += static_cast<double>(result.counts.evaluations) / settings.seeds;
    rounds += static_cast<double>(points.rounds) / settings.seeds;
  }
  fmt::print("{:>6} {:>4} {:20} {:10.4f} {:>8.1f}% {:12.0f} {:10.1f} {:8.0f} {:8.2f}\n", n, k,
             search, objective, 100 * excess + 1e-9, evaluations, evaluations / n, rounds, seconds);
  std::fflush(stdout);
}

Settings settings_of(const std::vector<std::string>& args) {
  Settings settings;
  for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
    const std::string& value = args[i + 1];
    if (args[i] == "--tasks") {
      settings.tasks.clear();
      for (const std::string& n : parts(value)) settings.tasks.push_back(std::stoi(n));
    } else if (args[i] == "--k") {
      settings.k = std::stoi(value);
    } else if (args[i] == "--spread") {
      settings.spread = std::stod(value);
    } else if (args[i] == "--dimensions") {
      settings.dimensions = std::stoi(value);
    } else if (args[i] == "--seeds") {
      settings.seeds = std::stoi(value);
    } else if (args[i] == "--search") {
      settings.searches = parts(value);
    } else if (args[i] == "--max-evaluations") {
      settings.max_evaluations = std::stoll(value);
    } else {
      throw std::invalid_argument("unknown option " + args[i]);
    }
  }
  if (args.size() % 2 != 0) throw std::invalid_argument(args.back() + " needs a value");
  return settings;
}

void run(const Settings& settings) {
  fmt::print("{:>6} {:>4} {:20} {:>10} {:>9} {:>12} {:>10} {:>8} {:>8}\n", "T", "K", "search",
             "objective", "excess", "evaluations", "per task", "rounds", "seconds");
  for (const int n : settings.tasks)
    for (const std::string& search : settings.searches) measure(settings, n, search);
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) {
  return d2c::bench_main("bench_search_scale", argc, argv,
                         [](const auto& args) { d2c::run(d2c::settings_of(args)); });
}
