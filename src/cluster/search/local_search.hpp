#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "partition/split.hpp"
#include "partition/state.hpp"
#include "search/recorder.hpp"
#include "weights/shortlist.hpp"

namespace d2c::cluster {

/// A change with the losses it leads to, not applied.
struct Valued {
  Change change;
  std::vector<double> losses;
  Score score;
};

/// Improves a partition by changes whose value is measured: the clusters are merged anew and their
/// members evaluated. What is known of the loss matrix only orders the candidates.
class LocalSearch {
 public:
  LocalSearch(const Problem& problem, const Rules& rules, Recorder& recorder,
              const IdVector<TaskId, double>& own);

  /// From now on only losses on the list are measured to find moves: their number grows with that
  /// of the tasks, and not with that of the clusters. What is not measured is never moved to.
  void confine(Shortlist shortlist) { shortlist_ = shortlist; }

  /// Moves, swaps and split-merges until none is found that improves. The score never rises.
  void improve(State& state);
  /// Moves only, until `patience` of them in a row do not improve.
  void settle(State& state, int patience = 8);
  /// Improves by moves of the given blocks only.
  void improve(State& state, std::vector<BlockId> blocks);
  /// The best changes that merge two clusters and split another, best first. Includes merges alone
  /// where they improve, and splits alone where a cluster is empty.
  [[nodiscard]] std::vector<Valued> restructurings(const State& state);

 private:
  struct Candidate {
    double predicted;
    BlockId block;
    ClusterId to;
  };
  /// How far predictions of single moves were off.
  struct Errors {
    int n = 0;
    double squares = 0;
    void add(double error) {
      ++n;
      squares += error * error;
    }
    /// No move predicted to cost more than this is worth measuring.
    [[nodiscard]] double limit() const {
      constexpr int enough = 32;
      return n < enough ? std::numeric_limits<double>::infinity() : 2 * std::sqrt(squares / n);
    }
  };
  struct Pair {
    double predicted;
    ClusterId a;
    ClusterId b;
  };
  struct Exchange {
    double predicted;
    BlockId a;
    BlockId b;
  };
  /// Moves of blocks, with the versions of both clusters.
  using Tried = std::set<std::tuple<BlockId, int, int>>;

  [[nodiscard]] double predicted_move(const State& state, BlockId b, ClusterId to) const;
  [[nodiscard]] std::vector<Candidate> moves(const State& state, const Tried& tried) const;
  [[nodiscard]] std::vector<Exchange> exchanges(const State& state, std::size_t most) const;
  [[nodiscard]] static std::vector<ClusterId> costliest(const State& state,
                                                        std::vector<ClusterId> clusters);
  [[nodiscard]] std::vector<Pair> pairs_to_merge(const State& state) const;
  /// Measures what candidates are found by, where it is not known or stale.
  void look(State& state);
  bool move_together(State& state);
  /// Ends after `patience` moves in a row that do not improve.
  bool move_singly(State& state, int patience);
  [[nodiscard]] int patience() const { return 16 + static_cast<int>(movable_.size()) / 4; }
  bool swap(State& state);
  bool restructure(State& state);
  bool accept(State& state, const Valued& valued);
  bool improves(State& state, const Change& change);

  const Rules& rules_;
  Recorder& recorder_;
  Splitter splitter_;
  Errors errors_;
  std::vector<BlockId> movable_;
  std::optional<Shortlist> shortlist_;
};

}  // namespace d2c::cluster
