#include "partition/split.hpp"

#include <algorithm>
#include <limits>

#include "loss/evaluate.hpp"

namespace d2c::cluster {
namespace {

std::size_t argmax(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

struct Splitter::Cut {
  TaskSet set;
  std::vector<BlockId> blocks;
  std::size_t first = 0;  // position in `blocks`
  std::size_t second = 0;
};

Splitter::Splitter(const Problem& problem, const Rules& rules, IdVector<TaskId, double> own)
    : problem_(problem), rules_(rules), own_(std::move(own)) {}

std::vector<double> Splitter::block_excess(const Cut& cut, std::span<const double> losses) const {
  IdVector<BlockId, double> excess(rules_.n_blocks());
  for (std::size_t i = 0; i < cut.set.size(); ++i) {
    const TaskId task = cut.set[i];
    excess[rules_.block_of(task)] += problem_.objective.excess(task, losses[i], own_[task]);
  }
  std::vector<double> of_blocks;
  for (const BlockId b : cut.blocks) of_blocks.push_back(excess[b]);
  return of_blocks;
}

std::vector<Split> Splitter::split(std::span<const TaskSet> sets) {
  std::vector<Cut> cuts;
  for (const TaskSet& set : sets) {
    if (!known_.try_emplace(set).second) continue;
    std::vector<BlockId> blocks = rules_.blocks_in(set);
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

  const auto whole = losses_under(oracle, merged, members);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    cuts[i].first = argmax(block_excess(cuts[i], whole[i]));
    merged[i] = rules_.block(cuts[i].blocks[cuts[i].first]);
  }
  const auto under_first = losses_under(oracle, merged, members);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    std::vector<double> excess = block_excess(cuts[i], under_first[i]);
    excess[cuts[i].first] = -std::numeric_limits<double>::infinity();
    cuts[i].second = argmax(excess);
    merged[i] = rules_.block(cuts[i].blocks[cuts[i].second]);
  }
  const auto under_second = losses_under(oracle, merged, members);

  std::vector<TaskSet> halves;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const Cut& cut = cuts[i];
    const std::vector<double> to_first = block_excess(cut, under_first[i]);
    const std::vector<double> to_second = block_excess(cut, under_second[i]);
    TaskSet first;
    TaskSet second;
    for (std::size_t b = 0; b < cut.blocks.size(); ++b) {
      const bool joins_first = b == cut.first || (b != cut.second && to_first[b] <= to_second[b]);
      TaskSet& half = joins_first ? first : second;
      const TaskSet& block = rules_.block(cut.blocks[b]);
      half.insert(half.end(), block.begin(), block.end());
    }
    std::sort(first.begin(), first.end());
    std::sort(second.begin(), second.end());
    halves.push_back(std::move(first));
    halves.push_back(std::move(second));
  }
  const auto losses = losses_under(oracle, halves, halves);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    Split& split = known_.at(cuts[i].set);
    split.losses = losses[2 * i];
    split.losses.insert(split.losses.end(), losses[2 * i + 1].begin(), losses[2 * i + 1].end());
    split.first = std::move(halves[2 * i]);
    split.second = std::move(halves[2 * i + 1]);
  }
}

}  // namespace d2c::cluster
