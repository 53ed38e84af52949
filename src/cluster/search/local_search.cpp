#include "search/local_search.hpp"

#include <algorithm>
#include <cmath>

#include "partition/sets.hpp"

namespace d2c::cluster {

LocalSearch::LocalSearch(const Problem& problem, const Rules& rules, Recorder& recorder,
                         const IdVector<TaskId, double>& own)
    : rules_(rules), recorder_(recorder), splitter_(problem, rules, own) {
  for (const BlockId b : rules.blocks()) movable_.push_back(b);
}

void LocalSearch::look(State& state) {
  if (!shortlist_) return state.refresh(movable_);
  Shortlist::Entries entries = shortlist_->entries(rules_, state.partition());
  std::erase_if(entries, [&](const auto& entry) { return state.fresh(entry.first, entry.second); });
  // Moves have to be measured, too.
  const std::int64_t most = recorder_.evaluations_left() / 2;
  std::int64_t n_tasks = 0;
  const auto end = std::ranges::find_if(entries, [&](const auto& entry) {
    n_tasks += std::ssize(rules_.block(entry.first));
    return n_tasks > most;
  });
  entries.erase(end, entries.end());
  state.refresh(entries);
}

void LocalSearch::improve(State& state) {
  while (!recorder_.must_stop()) {
    look(state);
    while (!recorder_.must_stop() && move_together(state)) look(state);
    if (move_singly(state, patience())) continue;
    if (swap(state)) continue;
    if (!restructure(state)) return;
  }
}

void LocalSearch::settle(State& state, int patience) {
  do {
    look(state);
    while (!recorder_.must_stop() && move_together(state)) look(state);
  } while (!recorder_.must_stop() && move_singly(state, patience));
}

void LocalSearch::improve(State& state, std::vector<BlockId> blocks) {
  movable_ = std::move(blocks);
  settle(state, patience());
}

bool LocalSearch::accept(State& state, const Valued& valued) {
  if (!(valued.score < state.score())) return false;
  state.apply(valued.change, valued.losses);
  recorder_.offer(state.partition(), state.score());
  return true;
}

/// Measures a change, and keeps it if it improves.
bool LocalSearch::improves(State& state, const Change& change) {
  const std::vector<double> losses = state.measure(std::span(&change, 1))[0];
  return accept(state, {change, losses, state.score_after(change, losses)});
}

// Change of the total cost if block b of m tasks moves, for a loss that is quadratic in the
// distance from the mean of a cluster (Hartigan, "Clustering algorithms", 1975, chapter 4):
//     n_to / (n_to + m) E[b, to] - n_from / (n_from - m) E[b, from],  E = cost above own adapter
double LocalSearch::predicted_move(const State& state, BlockId b, ClusterId to) const {
  const ClusterId from = state.cluster_of_block(b);
  const double m = static_cast<double>(rules_.block(b).size());
  const double n_from = state.size(from);
  const double n_to = state.size(to);
  const double loses = n_from > m ? n_from / (n_from - m) * state.block_excess(b, from) : 0;
  return n_to / (n_to + m) * state.block_excess(b, to) - loses;
}

/// The most promising untried move of every block, best first.
std::vector<LocalSearch::Candidate> LocalSearch::moves(const State& state,
                                                       const Tried& tried) const {
  std::vector<Candidate> result;
  for (const BlockId b : movable_) {
    const ClusterId from = state.cluster_of_block(b);
    Candidate best{std::numeric_limits<double>::infinity(), b, ClusterId::none()};
    bool saw_empty = false;
    for (const ClusterId to : state.partition().cluster_ids()) {
      if (to == from) continue;
      if (state.size(to) == 0) {
        // Empty clusters are alike; a block that fills its cluster gains nothing from another.
        if (saw_empty || state.size(from) == static_cast<int>(rules_.block(b).size())) continue;
        saw_empty = true;
      }
      const double predicted = predicted_move(state, b, to);
      if (!(predicted < best.predicted) ||
          tried.contains({b, state.version(from), state.version(to)}))
        continue;
      best = {predicted, b, to};
    }
    if (best.to != ClusterId::none()) result.push_back(best);
  }
  std::stable_sort(result.begin(), result.end(), [](const Candidate& a, const Candidate& b) {
    return a.predicted < b.predicted;
  });
  return result;
}

/// Moves all blocks that promise an improvement at once; if that fails, the better half, and so on.
bool LocalSearch::move_together(State& state) {
  std::vector<Candidate> candidates = moves(state, {});
  // Off the shortlist, a loss that is known may be stale.
  std::erase_if(candidates, [&](const Candidate& c) {
    return c.predicted >= 0 || !state.fresh(c.block, c.to);
  });
  for (std::size_t n = candidates.size(); n >= 2; n /= 2) {
    Partition next = state.partition();
    IdVector<ClusterId, char> changed(next.k());
    for (std::size_t i = 0; i < n; ++i) {
      changed[state.cluster_of_block(candidates[i].block)] = 1;
      changed[candidates[i].to] = 1;
      for (const TaskId task : rules_.block(candidates[i].block)) next.move(task, candidates[i].to);
    }
    Change change;
    for (const ClusterId k : next.cluster_ids()) {
      if (!changed[k]) continue;
      change.clusters.push_back(k);
      change.sets.push_back(next.members(k));
    }
    if (!state.allows(change)) continue;
    if (improves(state, change)) return true;
    if (recorder_.must_stop()) return false;
  }
  return false;
}

bool LocalSearch::move_singly(State& state, int patience) {
  Tried tried;
  bool improved = false;
  for (int failures = 0; failures < patience && !recorder_.must_stop();) {
    const std::vector<Candidate> candidates = moves(state, tried);
    IdVector<ClusterId, char> busy(state.partition().k());
    std::vector<Candidate> round;
    bool refused = false;
    std::vector<std::pair<BlockId, ClusterId>> entries;
    for (const Candidate& candidate : candidates) {
      if (candidate.predicted > errors_.limit()) break;
      if (!round.empty() && round.front().predicted < 0 && candidate.predicted >= 0) break;
      const ClusterId from = state.cluster_of_block(candidate.block);
      if (busy[from] || busy[candidate.to]) continue;
      if (!state.allows(state.move(candidate.block, candidate.to))) {
        tried.insert({candidate.block, state.version(from), state.version(candidate.to)});
        refused = true;
        continue;
      }
      busy[from] = busy[candidate.to] = 1;
      round.push_back(candidate);
      entries.emplace_back(candidate.block, candidate.to);
    }
    if (round.empty()) {
      if (!refused) break;
      continue;
    }
    // One entry tells whether a stale prediction still holds, before whole clusters are measured.
    state.refresh(entries);
    std::vector<Change> changes;
    std::vector<double> predictions;
    for (const Candidate& candidate : round) {
      const double predicted = predicted_move(state, candidate.block, candidate.to);
      if (candidate.predicted < 0 && predicted >= 0) continue;
      const ClusterId from = state.cluster_of_block(candidate.block);
      tried.insert({candidate.block, state.version(from), state.version(candidate.to)});
      changes.push_back(state.move(candidate.block, candidate.to));
      predictions.push_back(predicted);
    }
    if (changes.empty()) continue;
    const auto losses = state.measure(changes);
    for (std::size_t i = 0; i < changes.size(); ++i) {
      errors_.add(state.cost_change(changes[i], losses[i]) - predictions[i]);
      if (accept(state, {changes[i], losses[i], state.score_after(changes[i], losses[i])})) {
        improved = true;
        failures = 0;
      } else {
        ++failures;
      }
    }
  }
  return improved;
}

/// The exchanges of two blocks that promise most by the losses known, best first.
std::vector<LocalSearch::Exchange> LocalSearch::exchanges(const State& state,
                                                          std::size_t most) const {
  IdMatrix<BlockId, ClusterId> excess(rules_.n_blocks(), state.partition().k());
  for (const BlockId b : excess.rows())
    for (const ClusterId k : excess.columns()) excess(b, k) = state.block_excess(b, k);
  const auto better = [](const Exchange& x, const Exchange& y) {
    return std::tie(x.predicted, x.a, x.b) < std::tie(y.predicted, y.a, y.b);
  };
  std::vector<Exchange> best;
  double limit = std::numeric_limits<double>::infinity();
  for (const BlockId a : excess.rows()) {
    const ClusterId from = state.cluster_of_block(a);
    for (const BlockId b : excess.rows()) {
      const ClusterId to = state.cluster_of_block(b);
      if (!(a < b) || to == from || (state.size(from) == 1 && state.size(to) == 1)) continue;
      const double predicted = excess(a, to) - excess(a, from) + excess(b, from) - excess(b, to);
      if (!(predicted < limit)) continue;
      best.push_back({predicted, a, b});
      if (best.size() < 2 * most) continue;
      const auto last = best.begin() + static_cast<std::ptrdiff_t>(most) - 1;
      std::nth_element(best.begin(), last, best.end(), better);
      limit = last->predicted;
      best.resize(most);
    }
  }
  std::sort(best.begin(), best.end(), better);
  return best;
}

bool LocalSearch::swap(State& state) {
  const int patience = 16 + rules_.n_blocks() / 8;
  int failures = 0;
  for (const Exchange& exchange : exchanges(state, 4 * static_cast<std::size_t>(patience))) {
    if (failures >= patience || recorder_.must_stop()) break;
    const Change change = state.swap(exchange.a, exchange.b);
    if (!state.allows(change)) continue;
    if (improves(state, change)) return true;
    ++failures;
  }
  return false;
}

/// The pairs of clusters whose merge costs least by the same quadratic model, and may be a cluster.
std::vector<LocalSearch::Pair> LocalSearch::pairs_to_merge(const State& state) const {
  std::vector<Pair> pairs;
  std::optional<IdMatrix<ClusterId, ClusterId>> by_weights;
  if (shortlist_) by_weights = shortlist_->unions(state.partition());
  for (const ClusterId b : state.partition().cluster_ids())
    for (const ClusterId a : state.partition().cluster_ids()) {
      if (!(a < b) || state.size(a) == 0 || state.size(b) == 0) continue;
      if (by_weights) {
        pairs.push_back({(*by_weights)(a, b), a, b});
        continue;
      }
      double sum = 0;
      for (const TaskId task : state.members(b))
        sum += state.excess(task, a) - state.excess(task, b);
      for (const TaskId task : state.members(a))
        sum += state.excess(task, b) - state.excess(task, a);
      const double n_a = state.size(a);
      const double n_b = state.size(b);
      const double predicted = sum * n_b * n_a / ((n_b + n_a) * (n_b + n_a));
      if (!std::isnan(predicted)) pairs.push_back({predicted, a, b});
    }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& x, const Pair& y) { return x.predicted < y.predicted; });
  std::erase_if(pairs, [&](const Pair& pair) {
    return !rules_.allows_part(united(state.members(pair.a), state.members(pair.b)));
  });
  constexpr std::size_t most_pairs = 4;
  if (pairs.size() > most_pairs) pairs.resize(most_pairs);
  return pairs;
}

/// The few clusters whose members lose most.
std::vector<ClusterId> LocalSearch::costliest(const State& state, std::vector<ClusterId> clusters) {
  constexpr std::size_t most = 16;
  std::vector<std::pair<double, ClusterId>> costs;
  for (const ClusterId c : clusters) {
    double cost = 0;
    for (const TaskId task : state.members(c)) cost -= state.excess(task, c);
    costs.emplace_back(cost, c);
  }
  std::ranges::sort(costs);
  if (costs.size() > most) costs.resize(most);
  clusters.clear();
  for (const auto& [cost, c] : costs) clusters.push_back(c);
  return clusters;
}

std::vector<Valued> LocalSearch::restructurings(const State& state) {
  const std::vector<Pair> pairs = pairs_to_merge(state);
  std::vector<ClusterId> filled;
  ClusterId empty = ClusterId::none();
  for (const ClusterId c : state.partition().cluster_ids()) {
    if (state.size(c) == 0)
      empty = c;
    else
      filled.push_back(c);
  }
  if (shortlist_) filled = costliest(state, filled);
  std::vector<TaskSet> sets;
  sets.reserve(filled.size() + pairs.size());
  for (const ClusterId c : filled) sets.push_back(state.members(c));
  for (const Pair& pair : pairs)
    sets.push_back(united(state.members(pair.a), state.members(pair.b)));
  const std::vector<Split> splits = splitter_.split(sets);

  std::vector<Change> merges;
  for (std::size_t i = 0; i < pairs.size(); ++i)
    merges.push_back({{pairs[i].a, pairs[i].b}, {sets[filled.size() + i], {}}, true});
  const auto merge_losses = state.measure(merges);

  std::vector<Valued> result;
  const auto add = [&](Change change, std::vector<double> losses) {
    if (!state.allows(change)) return;
    const Score score = state.score_after(change, losses);
    result.push_back({std::move(change), std::move(losses), score});
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto [predicted, a, b] = pairs[i];
    if (state.score_after(merges[i], merge_losses[i]) < state.score())
      add(merges[i], merge_losses[i]);
    const Split& again = splits[filled.size() + i];
    if (!again.first.empty()) add({{a, b}, {again.first, again.second}, true}, again.losses);
    for (std::size_t j = 0; j < filled.size(); ++j) {
      const ClusterId c = filled[j];
      if (c == a || c == b || splits[j].first.empty()) continue;
      std::vector<double> losses = merge_losses[i];
      losses.insert(losses.end(), splits[j].losses.begin(), splits[j].losses.end());
      add({{a, b, c}, {merges[i].sets[0], splits[j].first, splits[j].second}, true},
          std::move(losses));
    }
  }
  if (empty != ClusterId::none())
    for (std::size_t j = 0; j < filled.size(); ++j)
      if (!splits[j].first.empty())
        add({{filled[j], empty}, {splits[j].first, splits[j].second}, true}, splits[j].losses);
  std::stable_sort(result.begin(), result.end(),
                   [](const Valued& x, const Valued& y) { return x.score < y.score; });
  return result;
}

bool LocalSearch::restructure(State& state) {
  const std::vector<Valued> found = restructurings(state);
  return !found.empty() && accept(state, found.front());
}

}  // namespace d2c::cluster
