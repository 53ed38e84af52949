#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "d2c/cluster/oracle.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/merge/merge.hpp"
#include "d2c/results/checkpoint.hpp"

#include "serial_gram.hpp"

namespace d2c {

namespace fs = std::filesystem;

/// A manifest and what it names, loaded.
struct Job {
  explicit Job(const fs::path& path)
      : manifest(eval::read_manifest(path)),
        model(eval::load_model_folder(manifest.model)),
        engine(eval::make_cpu_engine(model.model, 1)) {
    const auto modules = model.model.target_modules();
    for (const eval::TaskSpec& task : manifest.tasks)
      adapters.push_back(lora::read_adapter(task.adapter, modules, manifest.model));
  }
  eval::Manifest manifest;
  eval::ModelFolder model;
  std::unique_ptr<eval::LossEngine> engine;
  std::vector<lora::Adapter> adapters;  // of every task
};

/// Losses of one file of examples per task, by fold; measured once, kept on disk.
class StoredOracle final : public cluster::LossOracle {
 public:
  StoredOracle(Job& job, bool held_out, int n_folds, fs::path file)
      : job_(job), n_folds_(n_folds), file_(std::move(file)) {
    for (const eval::TaskSpec& task : job.manifest.tasks) {
      const fs::path path = held_out ? task.test : task.examples;
      const auto read = eval::read_examples(path, job.model.encoding(), job.model.limits());
      n_examples_.push_back(std::ssize(read.examples));
      batches_.push_back(eval::pack(read.examples, eval::LossOn::response, 2048));
    }
    if (file_.empty()) return;
    const auto loaded = results::read_checkpoint(file_);
    if (!loaded.has_value()) return;
    for (const auto& [key, row] : loaded->checkpoint.measured) {
      if (key.on != examples()) continue;
      for (std::size_t i = 0; i < row.tasks.size(); ++i)
        known_[ids_of<TaskId>(numbers_of(key.adapters))][row.tasks[i]].assign(
            row.losses.begin() + static_cast<std::ptrdiff_t>(i) * n_folds,
            row.losses.begin() + static_cast<std::ptrdiff_t>(i + 1) * n_folds);
    }
  }

  void save() const {
    if (file_.empty() || measured_ == 0) return;
    results::LossTable measured;
    for (const auto& [set, tasks] : known_) {
      // The tasks of the set stand for their adapters, all of one weight.
      results::LossRow& row = measured[{"average", examples(), ids_of<AdapterId>(numbers_of(set)),
                                        std::vector<double>(set.size(), 1.0)}];
      for (const auto& [task, losses] : tasks) {
        row.tasks.push_back(task);
        row.losses.insert(row.losses.end(), losses.begin(), losses.end());
      }
    }
    results::write_checkpoint(file_, {}, measured);
  }

  [[nodiscard]] int n_tasks() const override { return static_cast<int>(batches_.size()); }
  [[nodiscard]] int n_folds() const override { return n_folds_; }

  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries) override {
    std::vector<std::size_t> order(queries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return queries[a].set < queries[b].set; });
    std::vector<double> values(queries.size() * static_cast<std::size_t>(n_folds_));
    std::size_t used = sets.size();
    for (const std::size_t i : order) {
      const cluster::TaskSet& set = sets[queries[i].set];
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
  IdVector<TaskId, double> base() {
    adapter_ = nullptr;
    IdVector<TaskId, double> losses;
    for (const TaskId task : ids<TaskId>(n_tasks())) losses.push_back(mean(measure(task)));
    return losses;
  }

  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }

 private:
  [[nodiscard]] std::string examples() const { return std::to_string(n_folds_) + " folds"; }

  void use(const cluster::TaskSet& set) {
    std::map<fs::path, std::pair<TaskId, double>> tasks_of;
    for (const TaskId task : set) {
      const auto& folder = job_.adapters[task.index()].folder;
      tasks_of.try_emplace(folder, task, 0.0).first->second.second += 1.0;
    }
    std::vector<std::pair<TaskId, double>> members;
    for (const auto& [folder, member] : tasks_of) members.push_back(member);
    std::sort(members.begin(), members.end());
    std::vector<const lora::FactorMap*> factors;
    std::vector<double> weights;
    std::vector<std::string> names;
    for (const auto& [task, n] : members) {
      factors.push_back(&job_.adapters[task.index()].modules);
      weights.push_back(n / static_cast<double>(set.size()));
      names.push_back(job_.manifest.tasks[task.index()].name);
    }
    adapter_ = job_.engine->prepare(
        merge::merge_adapters(merge::find_method("average"), factors, weights, names, {}));
  }

  std::vector<double> measure(TaskId task) {
    ++measured_;
    const std::size_t t = task.index();
    const auto result =
        losses_of(*job_.engine, eval::Unit{.adapter = adapter_, .batches = batches_[t]});
    const auto losses = eval::example_losses(batches_[t], result.nll, n_examples_[t]);
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
  std::map<cluster::TaskSet, std::map<TaskId, std::vector<double>>> known_;
  eval::AdapterHandle adapter_;
  std::int64_t measured_ = 0;
};

/// Cosine similarity of the tasks' adapters, [n_tasks, n_tasks].
inline std::vector<double> cosines(const Job& job) {
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

}  // namespace d2c
