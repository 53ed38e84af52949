// What racing saves, and when it is wrong.
//
//   bench_racing MANIFEST [--cache FILE] [--k N] [--restarts 30]
//   bench_racing --shape LAYERS,HIDDEN,INTERMEDIATE,HEADS,KV_HEADS,VOCABULARY
//
// The first runs the alternation of D2C from random starts on losses that are known for every
// example, with the races of cluster::race() over different numbers of examples. Printed: tokens
// that go through the model as a share of those of exact evaluation, if the keys and values of
// shared prefixes are kept from part to part (as d2c does) and if each part computes them again;
// decisions that differ from those of all examples, and their mean regret in nats per token; the
// mean objective of the restarts; and what share of the evaluations of `auto` a race could shorten.
//
// The second measures processor time on random weights: the halves of ten examples as steps against
// all at once.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/race.hpp"
#include "d2c/cluster/registry.hpp"
#include "d2c/core/cpu_time.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/speed.hpp"

#include "stored_losses.hpp"

namespace d2c {
namespace {

using cluster::Query;
using cluster::TaskSet;

constexpr int n_examples = 10;

struct Rule {
  double p = 0;             ///< 0 = no racing
  std::vector<int> probes;  ///< examples seen when a race decides
};

enum class Prefixes { kept, again };

/// Distinct tokens of parts of a task's examples, in the order in which races look at them.
class Tokens {
 public:
  explicit Tokens(const Job& job) {
    for (const eval::TaskSpec& task : job.manifest.tasks) {
      const auto read =
          eval::read_examples(task.examples, job.model.encoding(), job.model.limits()).examples;
      if (std::ssize(read) != n_examples)
        throw std::invalid_argument(task.name + " does not have ten examples");
      orders_.push_back(cluster::race_order(n_examples, TaskId(orders_.size()), 7));
      examples_.emplace_back();
      for (const int i : orders_.back())
        examples_.back().push_back(read[static_cast<std::size_t>(i)]);
    }
  }
  [[nodiscard]] const std::vector<int>& order(TaskId task) const { return orders_[task]; }
  [[nodiscard]] double of(TaskId task, int begin, int end) {
    double& known = known_[{task, begin, end}];
    if (known > 0 || begin == end) return known;
    const auto part =
        std::span(examples_[task])
            .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    return known = static_cast<double>(
               eval::count_tokens(part, eval::pack(part, eval::LossOn::response, 2048)).computed);
  }
  /// Those of examples [begin, end) where [0, begin) were computed just before.
  [[nodiscard]] double next(TaskId task, int begin, int end, Prefixes prefixes) {
    return prefixes == Prefixes::kept ? of(task, 0, end) - of(task, 0, begin)
                                      : of(task, begin, end);
  }

 private:
  IdVector<TaskId, std::vector<int>> orders_;
  IdVector<TaskId, std::vector<eval::Example>> examples_;
  std::map<std::tuple<TaskId, int, int>, double> known_;
};

class Alternations {
 public:
  Alternations(StoredOracle& oracle, Tokens& tokens, int k, const Rule& rule)
      : oracle_(oracle), tokens_(tokens), k_(k), rule_(rule) {}

  void run(int restarts) {
    double mean = 0;
    for (int restart = 0; restart < restarts; ++restart)
      mean += alternate(static_cast<std::uint64_t>(restart)) / restarts;
    fmt::print("{:>3} {:>6} {:>10} {:>8.3f} {:>8.3f} {:>10} {:>8} {:>9.5f} {:>10.5f}\n", k_,
               rule_.p, fmt::format("{}", fmt::join(rule_.probes, ",")), kept_ / whole_,
               again_ / whole_, decisions_, different_, decisions_ > 0 ? regret_ / decisions_ : 0.0,
               mean);
    std::fflush(stdout);
  }

 private:
  double alternate(std::uint64_t restart) {
    CounterRng rng(7, restart);
    cluster::Partition partition(cluster::Assignment(oracle_.n_tasks()), k_);
    for (const TaskId task : partition.tasks())
      partition.move(task, ClusterId(rng.below(static_cast<std::uint64_t>(k_))));
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
    std::vector<ClusterId> cluster_of;
    for (const ClusterId c : partition.cluster_ids()) {
      TaskSet members = partition.members(c);
      if (members.empty()) continue;
      sets.push_back(std::move(members));
      cluster_of.push_back(c);
    }
    std::vector<Query> queries;
    for (const TaskId task : partition.tasks())
      for (std::size_t set = 0; set < sets.size(); ++set) queries.push_back({set, task});
    const std::vector<double> in_file = oracle_.losses(sets, queries);
    double objective = 0;
    for (const TaskId task : partition.tasks()) {
      cluster::RaceSetup setup{.weights = std::vector<double>(n_examples, 1.0),
                               .required = std::vector<char>(sets.size(), rule_.p > 0 ? 0 : 1),
                               .probes = rule_.probes,
                               .error = rule_.p > 0 ? rule_.p : 0.5};
      std::vector<double> losses;
      std::size_t own = 0;
      for (std::size_t set = 0; set < sets.size(); ++set) {
        if (cluster_of[set] == partition[task]) own = set;
        for (const int i : tokens_.order(task))
          losses.push_back(in_file[(task.index() * sets.size() + set) * n_examples +
                                   static_cast<std::size_t>(i)]);
      }
      setup.required[own] = 1;
      const cluster::RaceOutcome outcome = cluster::race(
          setup, losses,
          [&](std::size_t set, int begin, int end) { count(sets[set], task, begin, end); });
      const auto exact = [&](std::size_t set) {
        double sum = 0;
        for (std::size_t i = 0; i < n_examples; ++i) sum += losses[set * n_examples + i];
        return sum / n_examples;
      };
      double lowest = exact(own);
      for (std::size_t set = 0; set < sets.size(); ++set) lowest = std::min(lowest, exact(set));
      objective += exact(own) / partition.n_tasks();
      ++decisions_;
      const double regret = exact(outcome.winner) - lowest;
      different_ += regret > 0 ? 1 : 0;
      regret_ += regret;
      next.move(task, cluster_of[outcome.winner]);
    }
    return objective;
  }

  /// What an earlier race has measured is not measured again; what it began has to begin anew.
  void count(const TaskSet& set, TaskId task, int begin, int end) {
    const auto [place, is_new] = known_.try_emplace({set, task}, Known{0, 0});
    Known& known = place->second;
    if (is_new) whole_ += tokens_.of(task, 0, n_examples);
    if (end <= known.parts) return;
    const int from = begin > 0 && begin == known.at ? begin : 0;
    kept_ +=
        from == begin ? tokens_.next(task, from, end, Prefixes::kept) : tokens_.of(task, 0, end);
    again_ += tokens_.next(task, known.parts, end, Prefixes::again);
    known = {end, end};
  }

  struct Known {
    int parts;
    int at;
  };
  StoredOracle& oracle_;
  Tokens& tokens_;
  int k_;
  Rule rule_;
  std::map<std::pair<TaskSet, TaskId>, Known> known_;
  double whole_ = 0;
  double kept_ = 0;
  double again_ = 0;
  double regret_ = 0;
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
    for (const TaskId task : entry.tasks)
      outside += std::binary_search(entry.set.begin(), entry.set.end(), task) ? 0 : 1;
  fmt::print("{:>3} auto: {:.2f} of the evaluations could race\n", k,
             outside / static_cast<double>(cache.counts().evaluations));
}

/// Processor time of a call, least of some.
template <class Call>
double least_seconds(const Call& call) {
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double begin = thread_cpu_seconds();
    call();
    least = std::min(least, thread_cpu_seconds() - begin);
  }
  return least;
}

void measure_steps(const std::string& text) {
  std::vector<Index> sizes;
  std::stringstream numbers(text);
  for (std::string number; std::getline(numbers, number, ',');) sizes.push_back(std::stoi(number));
  if (sizes.size() != 6) throw std::invalid_argument("--shape takes six numbers");
  const auto config =
      eval::llama_config({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]});
  const auto model = model::Model::random(config, ops::WeightFormat::f32);
  const lora::FactorMap factors = eval::random_adapter(config, 8);
  const auto engine = eval::make_cpu_engine(model, 1);
  eval::AdapterHandle adapter;
  const double prepare = least_seconds([&] { adapter = engine->prepare(factors); });
  const auto evaluate = [&](std::span<const eval::Batch> of) {
    return least_seconds([&] {
      static_cast<void>(losses_of(*engine, eval::Unit{.adapter = adapter, .batches = of}));
    });
  };
  const auto examples = eval::random_examples({}, sizes[5]);
  const auto batches = eval::pack(examples, eval::LossOn::response, 2048);
  const double whole = evaluate(batches);
  fmt::print("all at once: {} tokens, {:.3f} s; adapter made ready in {:.4f} s\n",
             eval::count_tokens(examples, batches).computed, whole, prepare);
  for (const auto& [shared, name] : {std::pair{eval::SharedTokens::kept, "kept"},
                                     std::pair{eval::SharedTokens::again, "again"}}) {
    const std::vector<int> parts{0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
    const auto steps = eval::pack_parts(examples, parts, eval::LossOn::response, 2048, shared);
    const double first = evaluate(std::span(steps).first(1));
    const double both = evaluate(std::span(steps).first(2));
    fmt::print("{:>5}: first half {} tokens, {:.2f} of the time; both {} tokens, {:.2f}\n", name,
               steps[0].n_computed(), first / whole, steps[0].n_computed() + steps[1].n_computed(),
               both / whole);
  }
}

void run(const std::vector<std::string>& args) {
  if (args.empty()) throw std::invalid_argument("name a manifest");
  if (args[0] == "--shape" && args.size() == 2) return measure_steps(args[1]);
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
  Tokens tokens(job);
  fmt::print("{:>3} {:>6} {:>10} {:>8} {:>8} {:>10} {:>8} {:>9} {:>10}\n", "K", "P", "probes",
             "kept", "again", "decisions", "differ", "regret", "objective");
  for (const int k : ks) {
    print_share(oracle, job, k);
    for (const Rule& rule : {Rule{0, {10}}, Rule{0.05, {5, 10}}, Rule{0.05, {3, 6, 10}},
                             Rule{0.05, {3, 4, 5, 6, 7, 8, 9, 10}}, Rule{0.2, {5, 10}}}) {
      Alternations(oracle, tokens, k, rule).run(restarts);
    }
  }
  oracle.save();
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) {
  try {
    d2c::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_racing: {}\n", error.what());
    return 1;
  }
}
