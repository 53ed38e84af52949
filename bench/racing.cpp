// What racing would save: to drop a cluster for a task once the first examples tell it from the
// best one, instead of measuring all examples under all clusters.
//
//   bench_racing MANIFEST [--cache FILE] [--k N] [--restarts 30]
//
// Runs the alternation of D2C from random starts on losses that are known for every example. Per
// task and step, a cluster leaves the race when the mean of its differences to the leader exceeds
// t standard errors, t the quantile of Student's distribution for an error probability P divided by
// the number of comparisons of the race; the task's own cluster is always measured wholly. Examples
// are asked for in parts, and a part shares prefixes within itself only. Printed: tokens that go
// through the model, as a share of those of exact evaluation; decisions that differ from those of
// all examples; the mean objective of the restarts; and what share of the evaluations of `auto` a
// race could shorten.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <string>

#include <boost/math/distributions/students_t.hpp>
#include <fmt/format.h>

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/registry.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/ops/threads.hpp"

#include "stored_losses.hpp"

namespace d2c {
namespace {

using cluster::Query;
using cluster::TaskSet;

constexpr int n_examples = 10;

struct Rule {
  double p = 0;   ///< 0 = no racing
  int parts = 1;  ///< that the examples are asked for in
  [[nodiscard]] int end(int part) const { return (part + 1) * n_examples / parts; }
};

/// Distinct tokens of every part of a task's examples.
class Tokens {
 public:
  explicit Tokens(const Job& job) {
    for (const driver::TaskSpec& task : job.manifest.tasks) {
      examples_.push_back(
          eval::read_examples(task.examples, job.model.encoding(), job.model.limits()).examples);
      if (std::ssize(examples_.back()) != n_examples)
        throw std::invalid_argument(task.name + " does not have ten examples");
    }
  }
  [[nodiscard]] double of(int task, int begin, int end) const {
    const auto part =
        std::span(examples_[static_cast<std::size_t>(task)])
            .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    return static_cast<double>(
        eval::count_tokens(part, eval::pack(part, eval::LossOn::response, 2048)).computed);
  }

 private:
  std::vector<std::vector<eval::Example>> examples_;
};

/// One task's losses under the clusters that compete for it: loss[cluster][example].
class Race {
 public:
  Race(std::vector<std::span<const double>> loss, std::size_t own, const Rule& rule)
      : loss_(std::move(loss)), seen_(loss_.size(), rule.parts) {
    std::vector<char> in(loss_.size(), 1);
    const double comparisons = static_cast<double>(loss_.size() - 1) * (rule.parts - 1);
    for (int part = 0; rule.p > 0 && part + 1 < rule.parts; ++part) {
      const int n = rule.end(part);
      if (n < 2) continue;
      std::size_t leader = own;
      for (std::size_t c = 0; c < loss_.size(); ++c)
        if (in[c] != 0 && mean(c, n) < mean(leader, n)) leader = c;
      for (std::size_t c = 0; c < loss_.size(); ++c) {
        if (in[c] == 0 || c == own || !is_behind(c, leader, n, rule.p / comparisons)) continue;
        in[c] = 0;
        seen_[c] = part + 1;
      }
    }
    winner_ = exact_ = own;
    for (std::size_t c = 0; c < loss_.size(); ++c) {
      if (in[c] != 0 && mean(c, n_examples) < mean(winner_, n_examples)) winner_ = c;
      if (mean(c, n_examples) < mean(exact_, n_examples)) exact_ = c;
    }
  }

  [[nodiscard]] std::size_t winner() const { return winner_; }
  [[nodiscard]] bool is_exact() const { return winner_ == exact_; }
  /// Parts of the examples that were looked at.
  [[nodiscard]] int seen(std::size_t c) const { return seen_[c]; }
  [[nodiscard]] double mean(std::size_t c, int n) const {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += loss_[c][static_cast<std::size_t>(i)];
    return sum / n;
  }

 private:
  [[nodiscard]] bool is_behind(std::size_t c, std::size_t leader, int n, double p) const {
    const double difference = mean(c, n) - mean(leader, n);
    if (!(difference > 0)) return false;
    double squares = 0;
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      squares += std::pow(loss_[c][at] - loss_[leader][at] - difference, 2);
    }
    const boost::math::students_t student(n - 1);
    return difference > boost::math::quantile(boost::math::complement(student, p)) *
                            std::sqrt(squares / (n - 1) / n);
  }

  std::vector<std::span<const double>> loss_;
  std::vector<int> seen_;
  std::size_t winner_ = 0;
  std::size_t exact_ = 0;
};

class Alternations {
 public:
  Alternations(StoredOracle& oracle, const Tokens& tokens, int k, const Rule& rule)
      : oracle_(oracle), tokens_(tokens), k_(k), rule_(rule) {}

  void run(int restarts) {
    double mean = 0;
    for (int restart = 0; restart < restarts; ++restart)
      mean += alternate(static_cast<std::uint64_t>(restart)) / restarts;
    fmt::print("{:>3} {:>6} {:>6} {:>8.3f} {:>10} {:>8} {:>10.5f}\n", k_, rule_.p, rule_.parts,
               raced_ / whole_, decisions_, different_, mean);
    std::fflush(stdout);
  }

 private:
  double alternate(std::uint64_t restart) {
    CounterRng rng(7, restart);
    cluster::Partition partition(cluster::Assignment(static_cast<std::size_t>(oracle_.n_tasks())),
                                 k_);
    for (int task = 0; task < oracle_.n_tasks(); ++task)
      partition.move(task, static_cast<int>(rng.below(static_cast<std::uint64_t>(k_))));
    double best = std::numeric_limits<double>::infinity();
    for (int iteration = 0; iteration < 50; ++iteration) {
      cluster::Partition next = partition;
      best = std::min(best, step(partition, next));
      if (next == partition) break;
      partition = std::move(next);
    }
    return best;
  }

  double step(const cluster::Partition& partition, cluster::Partition& next) {
    std::vector<TaskSet> sets;
    std::vector<int> cluster_of;
    for (int c = 0; c < k_; ++c) {
      TaskSet members = partition.members(c);
      if (members.empty()) continue;
      sets.push_back(std::move(members));
      cluster_of.push_back(c);
    }
    std::vector<Query> queries;
    for (int task = 0; task < partition.n_tasks(); ++task)
      for (std::size_t set = 0; set < sets.size(); ++set)
        queries.push_back({static_cast<int>(set), task});
    const std::vector<double> losses = oracle_.losses(sets, queries);
    double objective = 0;
    for (int task = 0; task < partition.n_tasks(); ++task) {
      std::vector<std::span<const double>> of_task;
      std::size_t own = 0;
      for (std::size_t set = 0; set < sets.size(); ++set) {
        if (cluster_of[set] == partition[task]) own = set;
        of_task.push_back(std::span(losses).subspan(
            (static_cast<std::size_t>(task) * sets.size() + set) * n_examples, n_examples));
      }
      const Race race(std::move(of_task), own, rule_);
      objective += race.mean(own, n_examples) / partition.n_tasks();
      ++decisions_;
      different_ += race.is_exact() ? 0 : 1;
      next.move(task, cluster_of[race.winner()]);
      for (std::size_t set = 0; set < sets.size(); ++set) count(sets[set], task, race.seen(set));
    }
    return objective;
  }

  /// Parts that an earlier step has measured are not measured again.
  void count(const TaskSet& set, int task, int parts) {
    int& known = known_[{set, task}];
    if (known == 0) whole_ += tokens_.of(task, 0, n_examples);
    for (; known < parts; ++known)
      raced_ += tokens_.of(task, known == 0 ? 0 : rule_.end(known - 1), rule_.end(known));
  }

  StoredOracle& oracle_;
  const Tokens& tokens_;
  int k_;
  Rule rule_;
  std::map<std::pair<TaskSet, int>, int> known_;
  double whole_ = 0;
  double raced_ = 0;
  std::int64_t decisions_ = 0;
  std::int64_t different_ = 0;
};

/// Share of the evaluations of `auto` that compare clusters for a task outside of them: all others
/// value a partition and have to be exact.
void print_share(StoredOracle& oracle, const Job& job, int k) {
  cluster::CachedOracle cache(oracle);
  const cluster::Objective objective(cluster::ObjectiveKind::loss, oracle.n_tasks());
  cluster::Problem problem{.oracle = cache, .objective = objective};
  problem.similarity = [&] { return cosines(job); };
  (void)cluster::search_method("auto").run(problem, {.k = k});
  double outside = 0;
  for (const cluster::CachedOracle::Entry& entry : cache.save())
    for (const int task : entry.tasks)
      outside += std::binary_search(entry.set.begin(), entry.set.end(), task) ? 0 : 1;
  fmt::print("{:>3} auto: {:.2f} of the evaluations could race\n", k,
             outside / static_cast<double>(cache.counts().evaluations));
}

void run(const std::vector<std::string>& args) {
  if (args.empty()) throw std::invalid_argument("name a manifest");
  fs::path cache;
  std::vector<int> ks{5, 10};
  int restarts = 30;
  for (std::size_t i = 1; i + 1 < args.size(); i += 2) {
    if (args[i] == "--cache") {
      cache = args[i + 1];
    } else if (args[i] == "--restarts") {
      restarts = std::stoi(args[i + 1]);
    } else if (args[i] == "--k") {
      ks = {std::stoi(args[i + 1])};
    } else {
      throw std::invalid_argument("unknown option " + args[i]);
    }
  }
  Job job(args[0]);
  StoredOracle oracle(job, false, n_examples, cache);
  const Tokens tokens(job);
  fmt::print("{:>3} {:>6} {:>6} {:>8} {:>10} {:>8} {:>10}\n", "K", "P", "parts", "tokens",
             "decisions", "differ", "objective");
  for (const int k : ks) {
    print_share(oracle, job, k);
    for (const Rule rule : {Rule{0, 1}, Rule{0.05, 2}, Rule{0.05, 5}, Rule{0.05, 10}, Rule{0.2, 2},
                            Rule{0.2, 5}, Rule{0.2, 10}}) {
      Alternations(oracle, tokens, k, rule).run(restarts);
    }
  }
  oracle.save();
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) {
  try {
    d2c::ops::set_threads(1);
    d2c::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_racing: {}\n", error.what());
    return 1;
  }
}
