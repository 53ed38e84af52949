#include "partition/state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "loss/evaluate.hpp"
#include "partition/sets.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

State::State(const Problem& problem, const Rules& rules, const Partition& partition,
             std::span<const double> own)
    : problem_(&problem),
      rules_(&rules),
      own_(own.begin(), own.end()),
      partition_(partition),
      members_(partition.clusters()),
      member_loss_(member_losses(problem.oracle, partition)),
      score_(problem.objective.score(member_loss_)),
      loss_(partition.n_tasks(), partition.k()),
      seen_at_(loss_.values.size(), -1),
      exact_(loss_.values.size(), 0) {
  for (int k = 0; k < partition.k(); ++k) version_.push_back(next_version_++);
  for (int task = 0; task < partition.n_tasks(); ++task)
    learn(task, partition[task], member_loss_[at(task)]);
}

bool State::fresh(int task, int cluster) const {
  return seen_at_[at(task) * at(partition_.k()) + at(cluster)] == version(cluster);
}

void State::learn(int task, int cluster, double loss, bool exact) {
  const std::size_t entry = at(task) * at(partition_.k()) + at(cluster);
  loss_(task, cluster) = loss;
  seen_at_[entry] = version(cluster);
  exact_[entry] = exact ? 1 : 0;
}

double State::excess(int task, int cluster) const {
  if (size(cluster) == 0) return 0;
  const Objective& objective = problem_->objective;
  return objective.weight(task) *
         (objective.cost(task, loss_(task, cluster)) - objective.cost(task, own_[at(task)]));
}

double State::block_excess(int b, int cluster) const {
  double total = 0;
  for (const int task : rules_->block(b)) total += excess(task, cluster);
  return total;
}

double State::cluster_excess(int cluster) const {
  double total = 0;
  for (const int task : members(cluster)) total += excess(task, cluster);
  return total;
}

void State::refresh(std::span<const std::pair<int, int>> block_and_cluster) {
  std::vector<TaskSet> sets;
  std::vector<int> set_of(at(partition_.k()), -1);
  std::vector<Entrant> entrants;
  std::vector<int> cluster;
  std::vector<char> races(at(partition_.n_tasks()));
  const auto enter = [&](int task, int k, bool required) {
    if (set_of[at(k)] < 0) {
      set_of[at(k)] = static_cast<int>(sets.size());
      sets.push_back(members(k));
    }
    entrants.push_back({set_of[at(k)], task, required});
    cluster.push_back(k);
  };
  for (const auto& [b, k] : block_and_cluster) {
    if (size(k) == 0) continue;
    for (const int task : rules_->block(b)) {
      if (fresh(task, k)) continue;
      enter(task, k, false);
      races[at(task)] = 1;
    }
  }
  if (entrants.empty()) return;
  // The cluster that a task is in, whose loss is known, is what the others have to beat.
  for (int task = 0; problem_->oracle.racing().is_on() && task < partition_.n_tasks(); ++task)
    if (races[at(task)] != 0) enter(task, partition_[task], true);
  const std::vector<Contested> values = problem_->oracle.contest(sets, entrants);
  for (std::size_t i = 0; i < entrants.size(); ++i)
    learn(entrants[i].task, cluster[i], values[i].loss, values[i].exact);
}

void State::refresh_all() {
  std::vector<std::pair<int, int>> all;
  for (int b = 0; b < rules_->n_blocks(); ++b)
    for (int k = 0; k < partition_.k(); ++k) all.emplace_back(b, k);
  refresh(all);
}

Change State::move(int b, int to) const {
  const int from = cluster_of_block(b);
  return {{from, to},
          {without(members(from), rules_->block(b)), united(members(to), rules_->block(b))},
          false};
}

Change State::swap(int a, int b) const {
  const int from = cluster_of_block(a);
  const int to = cluster_of_block(b);
  return {{from, to},
          {united(without(members(from), rules_->block(a)), rules_->block(b)),
           united(without(members(to), rules_->block(b)), rules_->block(a))},
          false};
}

bool State::allows(const Change& change) const {
  return rules_->unconstrained() ||
         std::all_of(change.sets.begin(), change.sets.end(),
                     [this](const TaskSet& set) { return rules_->allows(set); });
}

std::vector<std::vector<double>> State::measure(std::span<const Change> changes) const {
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (const Change& change : changes)
    for (const TaskSet& set : change.sets) {
      if (set.empty()) continue;
      for (const int task : set) queries.push_back({static_cast<int>(sets.size()), task});
      sets.push_back(set);
    }
  const std::vector<double> values = problem_->oracle.losses(sets, queries);
  std::vector<std::vector<double>> result;
  auto from = values.begin();
  for (const Change& change : changes) {
    std::ptrdiff_t n = 0;
    for (const TaskSet& set : change.sets) n += static_cast<std::ptrdiff_t>(set.size());
    result.emplace_back(from, from + n);
    from += n;
  }
  return result;
}

Score State::score_after(const Change& change, std::span<const double> losses) const {
  std::vector<double> all = member_loss_;
  std::size_t i = 0;
  for (const TaskSet& set : change.sets)
    for (const int task : set) all[at(task)] = losses[i++];
  return problem_->objective.score(all);
}

double State::cost_change(const Change& change, std::span<const double> losses) const {
  const Objective& objective = problem_->objective;
  double total = 0;
  std::size_t i = 0;
  for (const TaskSet& set : change.sets)
    for (const int task : set)
      total += objective.weight(task) *
               (objective.cost(task, losses[i++]) - objective.cost(task, member_loss_[at(task)]));
  return total;
}

void State::apply(const Change& change, std::span<const double> losses) {
  std::size_t i = 0;
  for (std::size_t c = 0; c < change.clusters.size(); ++c) {
    const int cluster = change.clusters[c];
    members_[at(cluster)] = change.sets[c];
    version_[at(cluster)] = next_version_++;
    if (change.replaces)
      for (int task = 0; task < partition_.n_tasks(); ++task)
        loss_(task, cluster) = std::numeric_limits<double>::quiet_NaN();
    for (const int task : change.sets[c]) {
      partition_.move(task, cluster);
      member_loss_[at(task)] = losses[i];
      learn(task, cluster, losses[i++]);
    }
  }
  score_ = problem_->objective.score(member_loss_);
}

LossMatrix State::known() const {
  LossMatrix result(partition_.n_tasks(), partition_.k());
  for (int task = 0; task < partition_.n_tasks(); ++task)
    for (int k = 0; k < partition_.k(); ++k)
      if (size(k) > 0 && fresh(task, k) && exact_[at(task) * at(partition_.k()) + at(k)] != 0)
        result(task, k) = loss_(task, k);
  return result;
}

}  // namespace d2c::cluster
