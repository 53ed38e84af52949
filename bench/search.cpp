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

#include "d2c/cluster/registry.hpp"
#include "d2c/driver/manifest.hpp"
#include "d2c/driver/model_folder.hpp"
#include "d2c/eval/evaluator.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/lora/similarity.hpp"
#include "d2c/merge/merge.hpp"
#include "d2c/ops/threads.hpp"
#include "d2c/results/checkpoint.hpp"

namespace d2c {
namespace {

namespace fs = std::filesystem;
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

struct Job {
  explicit Job(const fs::path& path)
      : manifest(driver::read_manifest(path)),
        model(driver::load_model_folder(manifest.model)),
        evaluator(model.model) {
    const auto modules = model.model.target_modules();
    for (const driver::TaskSpec& task : manifest.tasks)
      adapters.push_back(lora::read_adapter(task.adapter, modules, manifest.model));
  }
  driver::Manifest manifest;
  driver::ModelFolder model;
  eval::Evaluator evaluator;
  std::vector<lora::Adapter> adapters;  // of every task
};

/// Losses of one file of examples per task, by fold; measured once, kept on disk.
class StoredOracle final : public cluster::LossOracle {
 public:
  StoredOracle(Job& job, bool held_out, int n_folds, fs::path file)
      : job_(job), n_folds_(n_folds), file_(std::move(file)) {
    for (const driver::TaskSpec& task : job.manifest.tasks) {
      const fs::path path = held_out ? task.test : task.examples;
      const auto read = eval::read_examples(path, job.model.encoding(), job.model.limits());
      n_examples_.push_back(std::ssize(read.examples));
      batches_.push_back(eval::pack(read.examples, eval::LossOn::response, 2048));
    }
    if (file_.empty()) return;
    const auto loaded = results::read_checkpoint(file_);
    if (!loaded.has_value() || loaded->checkpoint.n_folds != n_folds) return;
    const auto folds = static_cast<std::size_t>(n_folds);
    for (const auto& entry : loaded->checkpoint.cache)
      for (std::size_t i = 0; i < entry.tasks.size(); ++i)
        known_[entry.set][entry.tasks[i]].assign(
            entry.losses.begin() + static_cast<std::ptrdiff_t>(i * folds),
            entry.losses.begin() + static_cast<std::ptrdiff_t>((i + 1) * folds));
  }

  void save() const {
    if (file_.empty() || measured_ == 0) return;
    results::Checkpoint checkpoint{"bench_search", n_folds_, {}, {}, {}};
    for (const auto& [set, tasks] : known_) {
      results::CachedSet entry{set, {}, {}};
      for (const auto& [task, losses] : tasks) {
        entry.tasks.push_back(task);
        entry.losses.insert(entry.losses.end(), losses.begin(), losses.end());
      }
      checkpoint.cache.push_back(std::move(entry));
    }
    results::write_checkpoint(file_, checkpoint);
  }

  [[nodiscard]] int n_tasks() const override { return static_cast<int>(batches_.size()); }
  [[nodiscard]] int n_folds() const override { return n_folds_; }

  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    std::vector<std::size_t> order(queries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return queries[a].set < queries[b].set; });
    std::vector<double> values(queries.size() * static_cast<std::size_t>(n_folds_));
    int used = -1;
    for (const std::size_t i : order) {
      const TaskSet& set = sets[static_cast<std::size_t>(queries[i].set)];
      std::vector<double>& losses = known_[set][queries[i].task];
      if (losses.empty()) {
        if (used != queries[i].set) use(set);
        used = queries[i].set;
        losses = measure(queries[i].task);
        if (measured_ % 5000 == 0) save();
      }
      std::copy(losses.begin(), losses.end(),
                values.begin() + static_cast<std::ptrdiff_t>(i) * n_folds_);
    }
    return values;
  }

  /// Without any adapter, mean over all examples.
  std::vector<double> base() {
    job_.evaluator.use(nullptr);
    std::vector<double> losses;
    for (int task = 0; task < n_tasks(); ++task) losses.push_back(mean(measure(task)));
    return losses;
  }

  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }

 private:
  void use(const TaskSet& set) {
    std::map<fs::path, std::pair<int, double>> tasks_of;
    for (const int task : set) {
      const auto& folder = job_.adapters[static_cast<std::size_t>(task)].folder;
      tasks_of.try_emplace(folder, task, 0.0).first->second.second += 1.0;
    }
    std::vector<std::pair<int, double>> members;
    for (const auto& [folder, member] : tasks_of) members.push_back(member);
    std::sort(members.begin(), members.end());
    std::vector<const lora::FactorMap*> factors;
    std::vector<double> weights;
    std::vector<std::string> names;
    for (const auto& [task, n] : members) {
      factors.push_back(&job_.adapters[static_cast<std::size_t>(task)].modules);
      weights.push_back(n / static_cast<double>(set.size()));
      names.push_back(job_.manifest.tasks[static_cast<std::size_t>(task)].name);
    }
    merged_ = merge::merge_adapters(merge::find_method("average"), factors, weights, names, {});
    job_.evaluator.use(&merged_);
  }

  std::vector<double> measure(int task) {
    ++measured_;
    const auto t = static_cast<std::size_t>(task);
    const auto losses = job_.evaluator.example_losses(batches_[t], n_examples_[t]);
    std::vector<double> sums(static_cast<std::size_t>(n_folds_));
    std::vector<double> counts(sums.size());
    for (std::size_t i = 0; i < losses.size(); ++i) {
      sums[i % sums.size()] += losses[i];
      counts[i % sums.size()] += 1;
    }
    for (std::size_t fold = 0; fold < sums.size(); ++fold) sums[fold] /= counts[fold];
    return sums;
  }

  Job& job_;
  int n_folds_;
  fs::path file_;
  std::vector<std::vector<eval::Batch>> batches_;
  std::vector<Index> n_examples_;
  std::map<TaskSet, std::map<int, std::vector<double>>> known_;
  lora::FactorMap merged_;
  std::int64_t measured_ = 0;
};

std::vector<double> cosines(const Job& job) {
  std::vector<const lora::FactorMap*> all;
  for (const lora::Adapter& adapter : job.adapters) all.push_back(&adapter.modules);
  std::vector<double> gram = lora::gram(all, all);
  const std::size_t n = all.size();
  std::vector<double> result(gram.size());
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      result[std::min(i, j) * n + std::max(i, j)] = result[std::max(i, j) * n + std::min(i, j)] =
          lora::cosine(gram[i * n + j], gram[i * n + i], gram[j * n + j]);
  return result;
}

std::vector<double> under(StoredOracle& oracle, const cluster::Partition& partition) {
  const auto clusters = partition.clusters();
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (const TaskSet& set : clusters) {
    for (const int task : set) queries.push_back({static_cast<int>(sets.size()), task});
    if (!set.empty()) sets.push_back(set);
  }
  const auto values = oracle.losses(sets, queries);
  std::vector<double> losses(static_cast<std::size_t>(oracle.n_tasks()));
  const auto folds = static_cast<std::size_t>(oracle.n_folds());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    double sum = 0;
    for (std::size_t fold = 0; fold < folds; ++fold) sum += values[i * folds + fold];
    losses[static_cast<std::size_t>(queries[i].task)] = sum / static_cast<double>(folds);
  }
  return losses;
}

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
    for (int task = 0; task < few_shot_.n_tasks(); ++task) each.push_back(task);
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
      for (int fold = 0; fold < 10; ++fold)
        if (fold % settings_.folds != settings_.folds - 1) split.choose.push_back(fold);
    cluster::CachedOracle oracle(few_shot_, split);
    const cluster::Objective objective(settings_.objective, few_shot_.n_tasks(), {}, {base_, own_});
    cluster::Problem problem{.oracle = oracle, .objective = objective};
    problem.similarity = [this] { return similarity_; };
    problem.trimmed_similarity = [this] {
      std::vector<lora::FactorMap> trimmed;
      for (const lora::Adapter& adapter : job_.adapters)
        trimmed.push_back(lora::trimmed(adapter.modules, 0.2));
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
    const std::vector<double> test = under(held_out_, result.partition);
    const cluster::Objective gains(ObjectiveKind::gain, held_out_.n_tasks(), {},
                                   {test_base_, test_own_});
    Row row;
    row.objective = result.objective;
    row.evaluations = static_cast<double>(result.counts.evaluations);
    double n = 0;
    for (int task = 0; task < held_out_.n_tasks(); ++task) {
      const double loss = test[static_cast<std::size_t>(task)];
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
  std::vector<double> base_;
  std::vector<double> test_base_;
  std::vector<double> own_;
  std::vector<double> test_own_;
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
    for (const int task : tasks) queries.push_back({static_cast<int>(sets.size()), task});
    sets.push_back(std::move(set));
  }
  const std::vector<double> base = oracle.base();
  fmt::print("{}\n", fmt::join(tasks, " "));
  std::vector<double> line;
  for (const int task : tasks) line.push_back(base[static_cast<std::size_t>(task)]);
  fmt::print("{:.5f}\n", fmt::join(line, " "));
  const std::vector<double> losses = oracle.losses(sets, queries);
  for (std::size_t set = 0; set < sets.size(); ++set)
    fmt::print("{:.5f}\n",
               fmt::join(std::span(losses).subspan(set * tasks.size(), tasks.size()), " "));
  oracle.save();
}

std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == ',')
      result.emplace_back();
    else
      result.back() += c;
  }
  return result;
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
        settings.objective = cluster::objective_kind(value);
      else if (arg == "--k") {
        settings.ks.clear();
        for (const std::string& k : parts(value)) settings.ks.push_back(std::stoi(k));
      } else if (arg == "--every-set-of") {
        for (const std::string& task : parts(value))
          settings.every_set_of.push_back(std::stoi(task));
      } else
        throw std::invalid_argument("unknown option " + arg);
    }
  }
  if (settings.manifest.empty()) throw std::invalid_argument("name a manifest");
  return settings;
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) {
  try {
    d2c::ops::set_threads(1);
    const d2c::Settings settings = d2c::settings_of({argv + 1, argv + argc});
    if (settings.every_set_of.empty())
      d2c::Bench(settings).run();
    else
      d2c::print_every_set(settings);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_search: {}\n", error.what());
    return 1;
  }
}
