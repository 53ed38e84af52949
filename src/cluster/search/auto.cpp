#include <algorithm>

#include "loss/evaluate.hpp"
#include "search/local_search.hpp"
#include "search/methods.hpp"
#include "search/starts.hpp"
#include "weights/agglomeration.hpp"
#include "weights/average_linkage.hpp"
#include "weights/kernel_kmeans.hpp"
#include "weights/once.hpp"
#include "weights/spectral.hpp"

namespace d2c::cluster {
namespace {

class Auto {
 public:
  Auto(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        recorder_(problem, options, "auto"),
        rules_(options.constraints, problem.oracle.n_tasks(), options.k),
        rng_(options.seed, stream),
        own_(problem.oracle.own_losses()),
        local_(problem, rules_, recorder_, own_) {}

  SearchResult run() {
    recorder_.begin_restart(stream);
    State state = best_start();
    if (similarity_) {
      agglomerate(state);
      if (is_large()) local_.confine(Shortlist(*similarity_));
    }
    local_.improve(state);
    note(state);
    perturb(state);
    recorder_.end_restart(recorder_.must_stop().value_or(StopReason::complete));
    return recorder_.finish();
  }

 private:
  static constexpr std::uint64_t stream = 0x6175746f;

  /// Whether a loss matrix is too much to be measured whole, again and again.
  [[nodiscard]] bool is_large() const {
    constexpr std::int64_t most_entries = 2000;
    return std::int64_t{own_.n()} * options_.k > most_entries;
  }

  State best_start() {
    std::vector<Partition> starts;
    for (const Assignment& start : options_.starts) starts.emplace_back(start, options_.k);
    if (problem_.similarity) {
      similarity_ = provided(problem_.similarity, problem_.oracle.n_tasks());
      starts.push_back(found_once(problem_, options_.k, rng_, [&](CounterRng& rng) {
        return kernel_kmeans(*similarity_, options_.k, rng);
      }));
      starts.push_back(found_once(problem_, options_.k,
                                  [&] { return average_linkage(*similarity_, options_.k); }));
      // Its eigenvectors take longer than all else where tasks are many.
      if (!is_large()) {
        starts.push_back(found_once(problem_, options_.k, rng_, [&](CounterRng& rng) {
          return spectral(*similarity_, options_.k, rng);
        }));
      }
    } else {
      starts.push_back(seeded());
    }
    std::optional<State> best;
    for (const Partition& start : starts) {
      State state(problem_, rules_, rules_.repaired(start, EmptyClusters::allow), own_);
      recorder_.offer(state.partition(), state.score());
      note(state);
      if (!best || state.score() < best->score()) best = std::move(state);
      if (recorder_.must_stop()) break;
    }
    return *best;
  }

  /// Agglomerations by loss, each more careful than the one before. They share what they measure.
  void agglomerate(State& best) {
    // Of many tasks, the most similar ones are together from the start, and moves get half of the
    // evaluations.
    Agglomeration agglomeration(problem_, rules_, recorder_, *similarity_, own_,
                                is_large() ? 4 * options_.k : rules_.n_blocks());
    for (const double caution : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      if (recorder_.must_stop()) return;
      if (is_large() && recorder_.evaluations() > recorder_.evaluations_left()) return;
      State state(problem_, rules_, agglomeration.run(options_.k, caution), own_);
      recorder_.offer(state.partition(), state.score());
      note(state);
      if (state.score() < best.score()) best = std::move(state);
    }
  }

  /// Every block joins the best of k single blocks, which are drawn as in k-means++: with
  /// probability proportional to the cost above the own adapter under those before.
  Partition seeded() {
    const int n = rules_.n_blocks();
    IdVector<BlockId, double> nearest(n, std::numeric_limits<double>::infinity());
    Partition partition(Assignment(problem_.oracle.n_tasks()), options_.k);
    BlockId seed = any_block();
    for (const ClusterId k : ids<ClusterId>(std::min(options_.k, n))) {
      const IdVector<BlockId, double> excess = excess_under(rules_.block(seed));
      for (const BlockId b : rules_.blocks()) {
        if (b != seed && !(excess[b] < nearest[b])) continue;
        nearest[b] = b == seed ? 0 : std::max(excess[b], 0.0);
        for (const TaskId task : rules_.block(b)) partition.move(task, k);
      }
      seed = drawn(nearest, rng_);
    }
    return partition;
  }

  /// Weighted cost above the own adapter of every block under the merge of a set.
  IdVector<BlockId, double> excess_under(const TaskSet& set) {
    std::vector<Query> queries;
    for (const TaskId task : own_.ids()) queries.push_back({0, task});
    const IdVector<TaskId, double> losses = problem_.oracle.losses(std::span(&set, 1), queries);
    IdVector<BlockId, double> excess(rules_.n_blocks());
    for (const BlockId b : rules_.blocks())
      for (const TaskId task : rules_.block(b))
        excess[b] += problem_.objective.excess(task, losses[task], own_[task]);
    return excess;
  }

  /// Leaves the local optimum by the changes that cost least, then by random ones.
  void perturb(State& state) {
    // With few tasks a perturbation costs next to nothing.
    const int patience = std::max(options_.perturbations, 256 / rules_.n_blocks());
    int failures = 0;
    while (failures < patience && !recorder_.must_stop()) {
      const std::vector<Valued> changes = local_.restructurings(state);
      bool improved = false;
      for (std::size_t i = 0; !improved && failures < patience && !recorder_.must_stop(); ++i) {
        State next = i < changes.size() && 2 * failures < patience ? changed(state, changes[i])
                                                                   : shaken(state);
        local_.settle(next);
        if (next.score() < state.score()) local_.improve(next);
        improved = next.score() < state.score();
        note(next);
        if (improved)
          state = std::move(next);
        else
          ++failures;
      }
      if (improved) failures = 0;
    }
  }

  BlockId any_block() { return BlockId(rng_.below(static_cast<std::uint64_t>(rules_.n_blocks()))); }

  static State changed(const State& state, const Valued& valued) {
    State next = state;
    next.apply(valued.change, valued.losses);
    return next;
  }

  /// Some random blocks in random clusters; one time in four, half of all.
  State shaken(const State& state) {
    Partition next = state.partition();
    const int n = std::max(2, rules_.n_blocks() / (rng_.below(4) == 0 ? 1 : 4));
    for (int i = 0; i < n; ++i) {
      const BlockId b = any_block();
      const ClusterId to(rng_.below(static_cast<std::uint64_t>(options_.k)));
      for (const TaskId task : rules_.block(b)) next.move(task, to);
    }
    return {problem_, rules_, rules_.repaired(next, EmptyClusters::allow), own_};
  }

  void note(const State& state) {
    recorder_.iteration(state.partition(), state.known(), state.score());
  }

  const Problem& problem_;
  const SearchOptions& options_;
  Recorder recorder_;
  Rules rules_;
  CounterRng rng_;
  IdVector<TaskId, double> own_;
  LocalSearch local_;
  std::optional<SimilarityMatrix> similarity_;
};

}  // namespace

SearchResult auto_search(const Problem& problem, const SearchOptions& options) {
  // So few tasks that measuring every set of them costs no more than a search: n 2^(n-1) entries.
  constexpr int few = 9;
  const Rules rules(options.constraints, problem.oracle.n_tasks(), std::max(options.k, 1));
  const std::int64_t entries = std::int64_t{problem.oracle.n_tasks()}
                               << (std::min(rules.n_blocks(), few) - 1);
  const bool is_small = rules.n_blocks() <= few &&
                        (options.max_evaluations == 0 || entries <= options.max_evaluations);
  return is_small ? exhaustive_search(problem, options) : Auto(problem, options).run();
}

}  // namespace d2c::cluster
