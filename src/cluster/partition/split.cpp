#include "partition/split.hpp"

#include <algorithm>

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Loss of the members of `tasks[i]` under the merge of `sets[i]`, in one call.
std::vector<std::vector<double>> measure_each(CachedOracle& oracle,
                                              const std::vector<TaskSet>& sets,
                                              const std::vector<TaskSet>& tasks) {
  std::vector<Query> queries;
  for (std::size_t i = 0; i < sets.size(); ++i)
    for (const int task : tasks[i]) queries.push_back({static_cast<int>(i), task});
  const std::vector<double> values = oracle.losses(sets, queries);
  std::vector<std::vector<double>> result;
  auto from = values.begin();
  for (const TaskSet& of : tasks) {
    result.emplace_back(from, from + static_cast<std::ptrdiff_t>(of.size()));
    from += static_cast<std::ptrdiff_t>(of.size());
  }
  return result;
}

int argmax(const std::vector<double>& values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

struct Splitter::Cut {
  TaskSet set;
  std::vector<int> blocks;
  int first = 0;  // position in `blocks`
  int second = 0;
};

Splitter::Splitter(const Problem& problem, const Rules& rules, std::span<const double> own)
    : problem_(problem), rules_(rules), own_(own.begin(), own.end()), block_of_(own.size()) {
  for (int b = 0; b < rules.n_blocks(); ++b)
    for (const int task : rules.block(b)) block_of_[at(task)] = b;
}

std::vector<int> Splitter::blocks_in(const TaskSet& set) const {
  std::vector<int> blocks;
  for (const int task : set)
    if (rules_.block(block_of_[at(task)]).front() == task) blocks.push_back(block_of_[at(task)]);
  return blocks;
}

std::vector<double> Splitter::block_excess(const Cut& cut, std::span<const double> losses) const {
  const Objective& objective = problem_.objective;
  std::vector<double> excess(at(rules_.n_blocks()));
  for (std::size_t i = 0; i < cut.set.size(); ++i) {
    const int task = cut.set[i];
    excess[at(block_of_[at(task)])] +=
        objective.weight(task) *
        (objective.cost(task, losses[i]) - objective.cost(task, own_[at(task)]));
  }
  std::vector<double> of_blocks;
  for (const int b : cut.blocks) of_blocks.push_back(excess[at(b)]);
  return of_blocks;
}

std::vector<Split> Splitter::split(std::span<const TaskSet> sets) {
  std::vector<Cut> cuts;
  for (const TaskSet& set : sets) {
    if (!known_.try_emplace(set).second) continue;
    std::vector<int> blocks = blocks_in(set);
    if (blocks.size() >= 2) cuts.push_back({set, std::move(blocks)});
  }
  if (!cuts.empty()) measure(cuts);
  std::vector<Split> result;
  for (const TaskSet& set : sets) result.push_back(known_.at(set));
  return result;
}

void Splitter::measure(std::vector<Cut>& cuts) {
  CachedOracle& oracle = problem_.oracle;
  std::vector<TaskSet> merged;
  merged.reserve(cuts.size());
  for (const Cut& cut : cuts) merged.push_back(cut.set);
  const std::vector<TaskSet> members = merged;

  const auto whole = measure_each(oracle, merged, members);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    cuts[i].first = argmax(block_excess(cuts[i], whole[i]));
    merged[i] = rules_.block(cuts[i].blocks[at(cuts[i].first)]);
  }
  const auto under_first = measure_each(oracle, merged, members);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    std::vector<double> excess = block_excess(cuts[i], under_first[i]);
    excess[at(cuts[i].first)] = -std::numeric_limits<double>::infinity();
    cuts[i].second = argmax(excess);
    merged[i] = rules_.block(cuts[i].blocks[at(cuts[i].second)]);
  }
  const auto under_second = measure_each(oracle, merged, members);

  std::vector<TaskSet> halves;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const Cut& cut = cuts[i];
    const std::vector<double> to_first = block_excess(cut, under_first[i]);
    const std::vector<double> to_second = block_excess(cut, under_second[i]);
    TaskSet first;
    TaskSet second;
    for (std::size_t b = 0; b < cut.blocks.size(); ++b) {
      const bool joins_first =
          b == at(cut.first) || (b != at(cut.second) && to_first[b] <= to_second[b]);
      TaskSet& half = joins_first ? first : second;
      half.insert(half.end(), rules_.block(cut.blocks[b]).begin(),
                  rules_.block(cut.blocks[b]).end());
    }
    std::sort(first.begin(), first.end());
    std::sort(second.begin(), second.end());
    halves.push_back(std::move(first));
    halves.push_back(std::move(second));
  }
  const auto losses = measure_each(oracle, halves, halves);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    Split& split = known_.at(cuts[i].set);
    split.losses = losses[2 * i];
    split.losses.insert(split.losses.end(), losses[2 * i + 1].begin(), losses[2 * i + 1].end());
    split.first = std::move(halves[2 * i]);
    split.second = std::move(halves[2 * i + 1]);
  }
}

}  // namespace d2c::cluster
