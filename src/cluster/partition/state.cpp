#include "partition/state.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>

#include "loss/evaluate.hpp"
#include "partition/sets.hpp"

namespace d2c::cluster {

State::State(const Problem& problem, const Rules& rules, const Partition& partition,
             IdVector<TaskId, double> own)
    : problem_(&problem),
      rules_(&rules),
      own_(std::move(own)),
      partition_(partition),
      members_(partition.clusters()),
      member_loss_(member_losses(problem.oracle, partition)),
      score_(problem.objective.score(member_loss_)),
      loss_(partition.n_tasks(), partition.k()),
      seen_at_(partition.n_tasks(), partition.k(), -1) {
  for (int k = 0; k < partition.k(); ++k) version_.push_back(next_version_++);
  for (const TaskId task : partition.tasks()) learn(task, partition[task], member_loss_[task]);
}

bool State::fresh(TaskId task, ClusterId cluster) const {
  return seen_at_(task, cluster) == version(cluster);
}

void State::learn(TaskId task, ClusterId cluster, double loss) {
  loss_(task, cluster) = loss;
  seen_at_(task, cluster) = version(cluster);
}

double State::excess(TaskId task, ClusterId cluster) const {
  if (size(cluster) == 0) return 0;
  return problem_->objective.excess(task, loss_(task, cluster), own_[task]);
}

double State::block_excess(BlockId b, ClusterId cluster) const {
  double total = 0;
  for (const TaskId task : rules_->block(b)) total += excess(task, cluster);
  return total;
}

bool State::fresh(BlockId b, ClusterId cluster) const {
  const TaskSet& block = rules_->block(b);
  return size(cluster) == 0 ||
         std::ranges::all_of(block, [&](TaskId task) { return fresh(task, cluster); });
}

void State::refresh(std::span<const std::pair<BlockId, ClusterId>> block_and_cluster) {
  constexpr auto absent = static_cast<std::size_t>(-1);
  std::vector<TaskSet> sets;
  IdVector<ClusterId, std::size_t> set_of(partition_.k(), absent);
  std::vector<Query> queries;
  std::vector<ClusterId> cluster;
  for (const auto& [b, k] : block_and_cluster) {
    if (size(k) == 0) continue;
    for (const TaskId task : rules_->block(b)) {
      if (fresh(task, k)) continue;
      if (set_of[k] == absent) {
        set_of[k] = sets.size();
        sets.push_back(members(k));
      }
      queries.push_back({set_of[k], task});
      cluster.push_back(k);
    }
  }
  if (queries.empty()) return;
  const std::vector<double> values = problem_->oracle.losses(sets, queries);
  for (std::size_t i = 0; i < queries.size(); ++i) learn(queries[i].task, cluster[i], values[i]);
}

void State::refresh(std::span<const BlockId> blocks) {
  std::vector<std::pair<BlockId, ClusterId>> all;
  for (const BlockId b : blocks)
    for (const ClusterId k : partition_.cluster_ids()) all.emplace_back(b, k);
  refresh(all);
}

Change State::move(BlockId b, ClusterId to) const {
  const ClusterId from = cluster_of_block(b);
  return {{from, to},
          {without(members(from), rules_->block(b)), united(members(to), rules_->block(b))},
          false};
}

Change State::swap(BlockId a, BlockId b) const {
  const ClusterId from = cluster_of_block(a);
  const ClusterId to = cluster_of_block(b);
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
  for (const Change& change : changes)
    std::ranges::copy_if(change.sets, std::back_inserter(sets), std::not_fn(&TaskSet::empty));
  auto losses = losses_under(problem_->oracle, sets, sets);
  std::vector<std::vector<double>> result;
  auto next = losses.begin();
  for (const Change& change : changes) {
    std::vector<double>& of_change = result.emplace_back();
    for (const TaskSet& set : change.sets) {
      if (set.empty()) continue;
      of_change.insert(of_change.end(), next->begin(), next->end());
      ++next;
    }
  }
  return result;
}

Score State::score_after(const Change& change, std::span<const double> losses) const {
  IdVector<TaskId, double> all = member_loss_;
  std::size_t i = 0;
  for (const TaskSet& set : change.sets)
    for (const TaskId task : set) all[task] = losses[i++];
  return problem_->objective.score(all);
}

double State::cost_change(const Change& change, std::span<const double> losses) const {
  double total = 0;
  std::size_t i = 0;
  for (const TaskSet& set : change.sets)
    for (const TaskId task : set)
      total += problem_->objective.excess(task, losses[i++], member_loss_[task]);
  return total;
}

void State::apply(const Change& change, std::span<const double> losses) {
  std::size_t i = 0;
  for (std::size_t c = 0; c < change.clusters.size(); ++c) {
    const ClusterId cluster = change.clusters[c];
    members_[cluster] = change.sets[c];
    version_[cluster] = next_version_++;
    if (change.replaces)
      for (const TaskId task : partition_.tasks())
        loss_(task, cluster) = std::numeric_limits<double>::quiet_NaN();
    for (const TaskId task : change.sets[c]) {
      partition_.move(task, cluster);
      member_loss_[task] = losses[i];
      learn(task, cluster, losses[i++]);
    }
  }
  score_ = problem_->objective.score(member_loss_);
}

LossMatrix State::known() const {
  LossMatrix result(partition_.n_tasks(), partition_.k());
  for (const TaskId task : partition_.tasks())
    for (const ClusterId k : partition_.cluster_ids())
      if (size(k) > 0 && fresh(task, k)) result(task, k) = loss_(task, k);
  return result;
}

}  // namespace d2c::cluster
