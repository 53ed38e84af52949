// Searches against each other on real adapters: quality per loss evaluation.
//
//   bench_search MANIFEST [--cache FILE] [--search auto,d2c,...] [--k 3,5] [--seeds N]
//                [--objective loss] [--folds N] [--max-evaluations N] [--curves]
//
// Every (task, cluster) entry is measured once and kept in FILE (few-shot) and FILE.test
// (held-out), so that searches can be repeated and compared at no cost; the counts printed are
// those of a search that starts without them. With --folds N the search sees all but the last of N
// parts of the few-shot examples. One line per search, K and seed; then means over seeds, and how
// many evaluations every search took to reach the final objective of d2c on the same K and seed.
//
//   bench_search MANIFEST --every-set-of 0,9,17,...
//
// prints the losses of all merges of some tasks: their numbers; without an adapter; then one line
// per set, bit i of 1, 2, ... = the i-th task, with the losses of these tasks under its merge. So
// were made tests/unit/cluster/data/*.txt, in which brute force finds the optimum.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/registry.hpp"

#include "arguments.hpp"
#include "stored_losses.hpp"

namespace d2c {
namespace {

using cluster::ObjectiveKind;
using cluster::Query;
using cluster::TaskSet;

struct Settings {
  fs::path manifest;
  fs::path cache;
  std::vector<std::string> searches{"auto", "d2c"};
  std::vector<int> ks{5};
  int seeds = 1;
  int folds = 1;
  std::int64_t max_evaluations = 0;
  ObjectiveKind objective = ObjectiveKind::loss;
  bool curves = false;
  TaskSet every_set_of;
};

IdVector<TaskId, double> under(StoredOracle& oracle, const cluster::Partition& partition) {
  const auto clusters = partition.clusters();
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (const TaskSet& set : clusters) {
    for (const TaskId task : set) queries.push_back({sets.size(), task});
    if (!set.empty()) sets.push_back(set);
  }
  const auto values = oracle.losses(sets, queries);
  IdVector<TaskId, double> losses(oracle.n_tasks());
  const auto folds = static_cast<std::size_t>(oracle.n_folds());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    double sum = 0;
    for (std::size_t fold = 0; fold < folds; ++fold) sum += values[i * folds + fold];
    losses[queries[i].task] = sum / static_cast<double>(folds);
  }
  return losses;
}

/// The examples of an oracle, a fold each, dealt out to fewer folds.
class Grouped final : public cluster::LossOracle {
 public:
  Grouped(StoredOracle& oracle, int n_folds) : oracle_(oracle), n_folds_(n_folds) {}
  [[nodiscard]] int n_tasks() const override { return oracle_.n_tasks(); }
  [[nodiscard]] int n_folds() const override { return n_folds_; }
  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    const auto values = oracle_.losses(sets, queries);
    const auto examples = static_cast<std::size_t>(oracle_.n_folds());
    const auto folds = static_cast<std::size_t>(n_folds_);
    std::vector<double> losses(queries.size() * folds, 0.0);
    for (std::size_t i = 0; i < queries.size(); ++i)
      for (std::size_t e = 0; e < examples; ++e) {
        const auto of_fold = static_cast<double>((examples - e % folds + folds - 1) / folds);
        losses[i * folds + e % folds] += values[i * examples + e] / of_fold;
      }
    return losses;
  }

 private:
  StoredOracle& oracle_;
  int n_folds_;
};

struct Row {
  double objective = 0;
  double test_loss = 0;
  double test_gain = 0;
  double evaluations = 0;
  double to_reach = 0;  // as a share of the evaluations of d2c; infinite = not reached
};

class Bench {
 public:
  explicit Bench(const Settings& settings)
      : settings_(settings),
        job_(settings.manifest),
        few_shot_(job_, false, 10, settings.cache),
        held_out_(
            job_, true, 1,
            settings.cache.empty() ? fs::path() : fs::path(settings.cache.string() + ".test")),
        base_(few_shot_.base()),
        test_base_(held_out_.base()),
        similarity_(cosines(job_)) {
    cluster::Assignment each;
    for (int task = 0; task < few_shot_.n_tasks(); ++task) each.push_back(ClusterId(task));
    const cluster::Partition own(each, few_shot_.n_tasks());
    own_ = under(few_shot_, own);
    test_own_ = under(held_out_, own);
  }

  void run() {
    std::map<std::pair<int, std::string>, std::vector<Row>> rows;
    for (const int k : settings_.ks)
      for (int seed = 0; seed < settings_.seeds; ++seed) {
        double target = std::numeric_limits<double>::quiet_NaN();
        double cost = 1;
        std::map<std::string, cluster::SearchResult> found;
        for (const std::string& search : settings_.searches) {
          found[search] = search_once(search, k, seed);
          if (search != "d2c") continue;
          target = found[search].objective;
          cost = static_cast<double>(found[search].counts.evaluations);
        }
        for (const std::string& search : settings_.searches)
          rows[{k, search}].push_back(report(search, k, seed, found[search], target, cost));
      }
    fmt::print("\n{:>3} {:20} {:>10} {:>10} {:>10} {:>9} {:>9}\n", "K", "search", "objective",
               "test loss", "test gain", "evals", "to d2c");
    for (const int k : settings_.ks)
      for (const std::string& search : settings_.searches) print_mean(k, search, rows[{k, search}]);
    few_shot_.save();
    held_out_.save();
  }

 private:
  cluster::SearchResult search_once(const std::string& search, int k, int seed) {
    cluster::FoldSplit split;
    if (settings_.folds > 1)
      for (const FoldId fold : ids<FoldId>(10))
        if (fold.value() % settings_.folds != settings_.folds - 1) split.choose.push_back(fold);
    cluster::CachedOracle oracle(few_shot_, split);
    const cluster::Objective objective(settings_.objective, few_shot_.n_tasks(), {}, {base_, own_});
    cluster::Problem problem{.oracle = oracle, .objective = objective};
    problem.similarity = [this] { return similarity_; };
    problem.trimmed_similarity = [this] {
      std::vector<lora::FactorMap> trimmed;
      for (const lora::Adapter& adapter : job_.adapters) {
        lora::FactorMap& modules = trimmed.emplace_back();
        for (const auto& [name, factors] : adapter.modules)
          modules.emplace(name, lora::trimmed(factors, 0.2));
      }
      std::vector<const lora::FactorMap*> all;
      for (const lora::FactorMap& adapter : trimmed) all.push_back(&adapter);
      return lora::factor_gram(all, all);
    };
    cluster::SearchOptions options;
    options.k = k;
    options.seed = static_cast<std::uint64_t>(seed);
    options.max_evaluations = settings_.max_evaluations;
    auto result = cluster::search_method(search).run(problem, options);
    few_shot_.save();
    return result;
  }

  Row report(const std::string& search, int k, int seed, const cluster::SearchResult& result,
             double target, double cost) {
    const IdVector<TaskId, double> test = under(held_out_, result.partition);
    const cluster::Objective gains(ObjectiveKind::gain, held_out_.n_tasks(), {},
                                   {test_base_, test_own_});
    Row row;
    row.objective = result.objective;
    row.evaluations = static_cast<double>(result.counts.evaluations);
    double n = 0;
    for (const TaskId task : test.ids()) {
      const double loss = test[task];
      row.test_loss += loss / held_out_.n_tasks();
      const double gain = gains.gain(task, loss);
      if (std::isnan(gain)) continue;
      row.test_gain += gain;
      n += 1;
    }
    row.test_gain /= n;
    const auto reached =
        std::find_if(result.curve.begin(), result.curve.end(),
                     [&](const auto& at) { return at.objective <= target + 1e-9; });
    row.to_reach = reached == result.curve.end() ? std::numeric_limits<double>::infinity()
                                                 : static_cast<double>(reached->evaluations) / cost;
    fmt::print(
        "K {:2} seed {} {:20} objective {:.5f} test loss {:.5f} gain {:.4f} evals {:6} to d2c "
        "{:.3f}\n",
        k, seed, search, row.objective, row.test_loss, row.test_gain, row.evaluations,
        row.to_reach);
    if (settings_.curves) {
      for (const auto& at : result.curve) fmt::print(" {}:{:.5f}", at.evaluations, at.objective);
      fmt::print("\n");
    }
    std::fflush(stdout);
    return row;
  }

  static void print_mean(int k, const std::string& search, const std::vector<Row>& rows) {
    Row mean;
    const auto n = static_cast<double>(rows.size());
    for (const Row& row : rows) {
      mean.objective += row.objective / n;
      mean.test_loss += row.test_loss / n;
      mean.test_gain += row.test_gain / n;
      mean.evaluations += row.evaluations / n;
      mean.to_reach += row.to_reach / n;
    }
    fmt::print("{:>3} {:20} {:10.5f} {:10.5f} {:10.4f} {:9.0f} {:9.3f}\n", k, search,
               mean.objective, mean.test_loss, mean.test_gain, mean.evaluations, mean.to_reach);
  }

  Settings settings_;
  Job job_;
  StoredOracle few_shot_;
  StoredOracle held_out_;
  IdVector<TaskId, double> base_;
  IdVector<TaskId, double> test_base_;
  IdVector<TaskId, double> own_;
  IdVector<TaskId, double> test_own_;
  std::vector<double> similarity_;
};

void print_every_set(const Settings& settings) {
  Job job(settings.manifest);
  StoredOracle oracle(job, false, 1, settings.cache);
  const TaskSet& tasks = settings.every_set_of;
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (std::size_t mask = 1; mask < std::size_t{1} << tasks.size(); ++mask) {
    TaskSet set;
    for (std::size_t i = 0; i < tasks.size(); ++i)
      if (((mask >> i) & 1) != 0) set.push_back(tasks[i]);
    for (const TaskId task : tasks) queries.push_back({sets.size(), task});
    sets.push_back(std::move(set));
  }
  const IdVector<TaskId, double> base = oracle.base();
  fmt::print("{}\n", fmt::join(tasks, " "));
  std::vector<double> line;
  for (const TaskId task : tasks) line.push_back(base[task]);
  fmt::print("{:.5f}\n", fmt::join(line, " "));
  const std::vector<double> losses = oracle.losses(sets, queries);
  for (std::size_t set = 0; set < sets.size(); ++set)
    fmt::print("{:.5f}\n",
               fmt::join(std::span(losses).subspan(set * tasks.size(), tasks.size()), " "));
  oracle.save();
}

Settings settings_of(const std::vector<std::string>& args) {
  Settings settings;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--curves") {
      settings.curves = true;
    } else if (!arg.starts_with("--")) {
      settings.manifest = arg;
    } else {
      const std::string& value = args.at(++i);
      if (arg == "--cache")
        settings.cache = value;
      else if (arg == "--search")
        settings.searches = parts(value);
      else if (arg == "--seeds")
        settings.seeds = std::stoi(value);
      else if (arg == "--folds")
        settings.folds = std::stoi(value);
      else if (arg == "--max-evaluations")
        settings.max_evaluations = std::stoll(value);
      else if (arg == "--objective")
        settings.objective = cluster::objective_names.find(value).value();
      else if (arg == "--k") {
        settings.ks.clear();
        for (const std::string& k : parts(value)) settings.ks.push_back(std::stoi(k));
      } else if (arg == "--every-set-of") {
        for (const std::string& task : parts(value))
          settings.every_set_of.push_back(TaskId(std::stoi(task)));
      } else
        throw std::invalid_argument("unknown option " + arg);
    }
  }
  if (settings.manifest.empty()) throw std::invalid_argument("name a manifest");
  return settings;
}

void run(const std::vector<std::string>& args) {
  const Settings settings = settings_of(args);
  if (settings.every_set_of.empty())
    Bench(settings).run();
  else
    print_every_set(settings);
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) { return d2c::bench_main("bench_search", argc, argv, d2c::run); }
