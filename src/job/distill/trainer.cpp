#include "distill/trainer.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::job {
namespace {

// Found on real tasks: docs/notebook/distillation.md.
constexpr double rate_share = 0.12;  // of the root mean square of the factors

double root_mean_square(std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return values.empty() ? 0.0 : std::sqrt(sum / static_cast<double>(values.size()));
}

void multiply(std::span<float> values, double factor) {
  for (float& value : values) value = static_cast<float>(factor * static_cast<double>(value));
}

}  // namespace

TrainedFactors::TrainedFactors(lora::Factors factors, double rate)
    : factors_(std::move(factors)),
      rate_(rate),
      gradient_(factors_.a.values().size() + factors_.b.values().size(), 0.0),
      a_(factors_.a.values().size()),
      b_(factors_.b.values().size()) {
  const double of_a = root_mean_square(factors_.a.values());
  const double of_b = root_mean_square(factors_.b.values()) * std::abs(factors_.scaling);
  const double even = std::sqrt(of_a * of_b);
  if (even > 0.0) {
    multiply(factors_.a.values(), even / of_a);
    multiply(factors_.b.values(), factors_.scaling * even / of_b);
    factors_.scaling = 1.0;
  }
  if (rate_ == 0.0) rate_ = rate_share * even;
}

void TrainedFactors::add(std::span<const float> gradient, double weight) {
  D2C_EXPECTS(gradient.size() == gradient_.size());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    gradient_[i] += weight * static_cast<double>(gradient[i]);
  }
}

void TrainedFactors::step(double decay) {
  const std::size_t n_a = factors_.a.values().size();
  const std::span<const double> gradient = gradient_;
  a_.step(factors_.a.values(), gradient.first(n_a), rate_ * decay);
  b_.step(factors_.b.values(), gradient.subspan(n_a), rate_ * decay);
  std::ranges::fill(gradient_, 0.0);
}

std::size_t TrainedFactors::held_bytes(std::size_t n) {
  return n * (2 * sizeof(float) + sizeof(double)) + Adam::state_bytes(n);
}

std::size_t TrainedFactors::state_bytes(std::size_t n_a, std::size_t n_b) {
  return (n_a + n_b) * sizeof(float) + Adam::state_bytes(n_a) + Adam::state_bytes(n_b);
}

std::vector<std::byte> TrainedFactors::state() const {
  std::vector<std::byte> bytes;
  append_wire(bytes, factors_.a.values());
  append_wire(bytes, factors_.b.values());
  a_.append_state(bytes);
  b_.append_state(bytes);
  return bytes;
}

void TrainedFactors::restore(std::span<const std::byte> state) {
  take_wire(state, factors_.a.values());
  take_wire(state, factors_.b.values());
  a_.take_state(state);
  b_.take_state(state);
}

Trainer::Trainer(const DistillParts& parts, std::span<const DistillCluster> clusters,
                 const DistillOptions& options)
    : parts_(parts),
      clusters_(clusters.begin(), clusters.end()),
      options_(options),
      curves_(clusters.size()) {
  take_over_starts();
  plan();
}

/// Merges the clusters, and deals their modules out to the ranks that train them.
void Trainer::take_over_starts() {
  std::vector<MergeRequest> starts;
  for (const DistillCluster& cluster : clusters_) starts.push_back(cluster.start);
  parts_.merger.merge(starts);
  std::map<std::string, ModuleId> module_of;
  for (const ModuleId module : parts_.adapters.modules().ids()) {
    module_of.emplace(parts_.adapters.modules()[module].name, module);
  }
  std::vector<TrainedAdapter::Part*> all;
  std::vector<double> costs;
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    TrainedAdapter& adapter = *adapters_.emplace_back(std::make_shared<TrainedAdapter>());
    adapter.name = parts_.merger.plan().method_name() + ", distilled";
    for (const auto& [name, factors] : parts_.merger.merged(c)) {
      if (factors.rank() == 0) continue;
      adapter.parts.push_back({.module = module_of.at(name), .rank = factors.rank()});
    }
    std::ranges::sort(adapter.parts, {}, &TrainedAdapter::Part::module);
    for (TrainedAdapter::Part& part : adapter.parts) {
      const auto& module = parts_.adapters.modules()[part.module];
      all.push_back(&part);
      costs.push_back(static_cast<double>(part.rank * (module.d_in + module.d_out)));
    }
  }
  const std::vector<int> owners = comm::balance(costs, parts_.comm.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i]->by = owners[i];
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    lora::FactorMap merged = parts_.merger.merged(c);
    for (const auto& [module, by, rank] : adapters_[c]->parts) {
      if (by != parts_.comm.rank()) continue;
      auto& factors = merged.at(parts_.adapters.modules()[module].name);
      own_.emplace(std::pair(static_cast<int>(c), module),
                   TrainedFactors(std::move(factors), options_.rate));
    }
  }
}

void Trainer::plan() {
  std::vector<LearningTask> tasks;
  std::vector<double> costs;
  std::vector<std::uint64_t> bytes;
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    const std::uint64_t adapter_bytes =
        merged_bytes(parts_.adapters, parts_.merger.plan(), clusters_[c].start);
    for (const TaskId task : clusters_[c].tasks) {
      tasks.push_back({static_cast<int>(c), task, 0});
      costs.push_back(static_cast<double>(parts_.tasks.facts(task, Split::few_shot).n_computed));
      bytes.push_back(adapter_bytes);
    }
  }
  plan_ = plan_learning(std::move(tasks), costs, bytes, parts_.comm.size(),
                        parts_.merger.plan().exchange_bytes / 2);
}

bool Trainer::teach() {
  std::vector<Learner> learners;
  for (const LearningTask& task : plan_.tasks) learners.push_back({task.task, task.rank});
  auto lessons = taught_lessons({parts_, options_.folds, options_.material, teacher_tokens},
                                learners, parts_.stop);
  if (!lessons) return false;
  lessons_ = std::move(*lessons);
  return true;
}

void Trainer::update_own() {
  for (const auto& [place, trained] : own_) {
    adapters_[static_cast<std::size_t>(place.first)]->own[place.second] = trained.factors();
  }
}

/// Lays the adapters as they are into the memory of every node.
void Trainer::lay_out() {
  update_own();
  std::vector<MergeRequest> requests;
  for (std::size_t c = 0; c < adapters_.size(); ++c) {
    MergeRequest& request = requests.emplace_back(clusters_[c].start);
    request.trained = adapters_[c];
  }
  parts_.merger.merge(requests);
}

void Trainer::step() {
  lay_out();
  std::vector<double> of_task(plan_.tasks.size(), 0.0);
  for (std::size_t r = 0; r + 1 < plan_.rounds.size(); ++r) {
    const std::size_t begin = plan_.rounds[r];
    const std::size_t n = plan_.rounds[r + 1] - begin;
    run_round(std::span(plan_.tasks).subspan(begin, n), std::span(of_task).subspan(begin, n));
  }
  {
    const auto timer = parts_.timers.scope("reduce");
    parts_.comm.sum(of_task);
  }
  const auto timer = parts_.timers.scope("gradients");
  std::size_t i = 0;
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    double& loss = curves_[c].emplace_back(0.0);
    for (const double weight : clusters_[c].weights) loss += weight * of_task[i++];
  }
  const double decay = cosine_decay(n_done_++, options_.material.steps);
  for (auto& [key, factors] : own_) factors.step(decay);
}

void Trainer::run_round(std::span<const LearningTask> round, std::span<double> losses) {
  std::vector<const TrainedAdapter*> adapters;
  for (const auto& adapter : adapters_) adapters.push_back(adapter.get());
  const auto& modules = parts_.adapters.modules();
  const std::vector<std::size_t> slice_begin =
      cut_round(adapters, modules, round, parts_.merger.plan().exchange_bytes / 2);
  std::vector<GradientExchange> slices;
  for (std::size_t s = 0; s + 1 < slice_begin.size(); ++s) {
    slices.emplace_back(parts_.comm, adapters, modules,
                        round.subspan(slice_begin[s], slice_begin[s + 1] - slice_begin[s]));
  }
  {
    const auto timer = parts_.timers.scope("gradients");
    std::vector<std::size_t> mine;
    std::vector<eval::GradientUnit> units;
    std::map<int, eval::AdapterHandle> handles;
    for (std::size_t i = 0; i < round.size(); ++i) {
      const auto& [cluster, task, rank] = round[i];
      if (rank != parts_.comm.rank()) continue;
      eval::AdapterHandle& handle = handles[cluster];
      if (handle == nullptr)
        handle = parts_.engine.prepare(parts_.merger.merged(static_cast<std::size_t>(cluster)));
      mine.push_back(i);
      const TaskLessons& portions = lessons_.at(task);
      units.push_back({handle, portions[static_cast<std::size_t>(n_done_) % portions.size()]});
    }
    parts_.engine.gradients(units, [&](Index unit, const eval::GradientResult& result) {
      const std::size_t i = mine[static_cast<std::size_t>(unit)];
      losses[i] = result.loss;
      const auto s = static_cast<std::size_t>(std::ranges::upper_bound(slice_begin, i) -
                                              slice_begin.begin() - 1);
      slices[s].put(i - slice_begin[s], result.gradient);
    });
  }
  const auto timer = parts_.timers.scope("exchange");
  const auto add = [&](const LearningTask& task, ModuleId module, std::span<const float> gradient) {
    const DistillCluster& cluster = clusters_[static_cast<std::size_t>(task.cluster)];
    const auto place = std::ranges::lower_bound(cluster.tasks, task.task) - cluster.tasks.begin();
    own_.at({task.cluster, module}).add(gradient, cluster.weights[static_cast<std::size_t>(place)]);
  };
  for (GradientExchange& slice : slices) slice.deliver(add);
}

/// First what rank 0 knows of the progress, then each module of each cluster.
std::vector<StatePart> Trainer::state_parts() const {
  std::vector<StatePart> parts{{0, progress().size()}};
  for (const auto& adapter : adapters_) {
    for (const auto& [module, by, rank] : adapter->parts) {
      const auto& shape = parts_.adapters.modules()[module];
      parts.push_back(
          {by, TrainedFactors::state_bytes(static_cast<std::size_t>(rank * shape.d_in),
                                           static_cast<std::size_t>(rank * shape.d_out))});
    }
  }
  return parts;
}

/// Of a fixed length: curves of all steps.
std::vector<std::byte> Trainer::progress() const {
  std::vector<std::byte> bytes;
  append_wire(bytes, std::span(&n_done_, 1));
  for (std::vector<double> curve : curves_) {
    curve.resize(static_cast<std::size_t>(options_.material.steps));
    append_wire(bytes, std::span(curve));
  }
  return bytes;
}

void Trainer::save(const std::filesystem::path& file) {
  if (n_saved_ == n_done_) return;
  write_state(parts_.comm, file, key_, state_parts(), [&](std::size_t index) {
    return index == 0 ? progress() : in_file_[index]->state();
  });
  n_saved_ = n_done_;
}

void Trainer::resume(const std::filesystem::path& file, std::uint64_t job) {
  Digest digest;
  digest.update(job);
  // A comparison trains merges of several methods.
  const std::string method = parts_.merger.plan().method_name();
  digest.update(method).update(method.size());
  in_file_.push_back(nullptr);
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    for (const TaskId task : clusters_[c].tasks) digest.update(task.index());
    digest.update(adapters_[c]->parts.size());
    for (const auto& part : adapters_[c]->parts) {
      const auto own = own_.find({static_cast<int>(c), part.module});
      in_file_.push_back(own == own_.end() ? nullptr : &own->second);
    }
  }
  key_ = digest.value();
  std::vector<std::byte> told;
  const bool found = read_state(parts_.comm, file, key_, state_parts(),
                                [&](std::size_t index, std::span<const std::byte> bytes) {
                                  if (index == 0) {
                                    told.assign(bytes.begin(), bytes.end());
                                  } else {
                                    in_file_[index]->restore(bytes);
                                  }
                                });
  if (!found) return;
  told = parts_.comm.broadcast(std::move(told), 0);
  std::span<const std::byte> bytes = told;
  take_wire(bytes, std::span(&n_done_, 1));
  for (std::vector<double>& curve : curves_) {
    curve.resize(static_cast<std::size_t>(options_.material.steps));
    take_wire(bytes, std::span(curve));
    curve.resize(static_cast<std::size_t>(n_done_));
  }
  n_saved_ = n_done_;
}

std::vector<std::shared_ptr<const TrainedAdapter>> Trainer::adapters() {
  lessons_.clear();
  update_own();
  for (std::size_t c = 0; c < adapters_.size(); ++c) {
    const auto& adapter = adapters_[c];
    // Clusters of other tasks may start from the same merge, and a time limit may end a training.
    Digest tasks;
    for (const TaskId task : clusters_[c].tasks) tasks.update(task.index());
    adapter->key = fmt::format("{}, {} steps, {}", adapter->name, n_done_, tasks.text());
    for (auto& [module, factors] : adapter->own) {
      round_to(parts_.merger.plan().stored_dtype, factors.a.values());
      round_to(parts_.merger.plan().stored_dtype, factors.b.values());
    }
  }
  return {adapters_.begin(), adapters_.end()};
}

}  // namespace d2c::job
