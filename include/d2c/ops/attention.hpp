#pragma once

#include <span>
#include <vector>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/rows.hpp"
#include "d2c/ops/segment.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

struct AttentionShape {
  Index n_heads = 0;
  Index n_kv_heads =
      0;  ///< divides n_heads; query head h reads key head h / (n_heads / n_kv_heads)
  Index head_dim = 0;
  float scale = 1.0F;  ///< of the scores, usually 1 / sqrt(head_dim)
  Index window = 0;    ///< a token sees this many tokens, itself included; 0 = all before it
  float cap = 0.0F;    ///< a score s becomes cap tanh(s / cap); 0 = it stays
};

/// Keys and values in the form that attention reads, segment by segment: no copy per query head or
/// per child. They may come piece by piece, so that sequences are continued without computing them
/// again.
class KeyMemory {
 public:
  /// Makes places for the keys of all segments; what was there is forgotten.
  /// @param segments  parents precede children, `begin` ascends; their ends may lie further than
  ///                  the keys that there are yet
  void lay_out(const AttentionShape& shape, std::span<const Segment> segments);

  /// Puts keys and values into their places.
  /// @param k, v   [n, n_kv_heads * head_dim]
  /// @param places [n] rows of the segments, ascending and without holes within a segment; empty =
  ///               0 .. n - 1
  void put(ThreadTeam& threads, ConstRows k, ConstRows v, std::span<const Index> places = {});

  /// Bytes of keys and values that this object keeps.
  [[nodiscard]] std::size_t held_bytes() const;
  /// Part of it that does not depend on the number of keys, at most.
  static constexpr std::size_t bytes_per_segment = sizeof(Segment) + 5 * sizeof(Index);

 private:
  friend class Attention;
  /// Keys that belong to one segment.
  struct Run {
    Index segment;
    Index first_key;  ///< within the segment
    Index first_row;  ///< of k and v
    Index n;
  };
  void find_runs(std::span<const Index> places, Index n);
  [[nodiscard]] const Segment& segment(Index i) const {
    return segments_[static_cast<std::size_t>(i)];
  }
  /// Where the keys of a segment begin.
  [[nodiscard]] Index first_of_keys(Index kv_head, Index segment) const {
    return (kv_head * n_keys_ + first_key_[static_cast<std::size_t>(segment)]) * head_dim_;
  }
  [[nodiscard]] Index first_of_values(Index kv_head, Index segment) const;

  AlignedFloats keys_;    ///< per kv head, per segment: panels of 16 keys, [head_dim][16]
  AlignedFloats values_;  ///< per kv head, per segment: panels of 16 dimensions, [length][16]
  std::vector<Segment> segments_;
  std::vector<Index> first_key_;  ///< per segment: its first key, segments rounded up to panels
  std::vector<Run> runs_;
  Index n_kv_heads_ = 0;
  Index head_dim_ = 0;
  Index n_keys_ = 0;  ///< of all segments, each rounded up to panels
  Index n_rows_ = 0;  ///< one past the last row of the segments
};

/// Rows that attend.
struct QueryRows {
  ConstRows q;                    ///< [n, n_heads * head_dim]
  std::span<const Index> wanted;  ///< rows of q that are wanted, ascending
  std::span<const Index>
      places{};  ///< [n] row of the segments where each stands; empty = 0 .. n - 1
};

/// Causal attention over sequences that share prefixes, with its workspace.
///
/// For query row i at position p and head h, over the keys j of its segment and of all ancestors
/// with p - window < position(j) <= p:
///   out_ih = sum_j softmax_j(scale q_ih . k_jh) v_jh, the scores capped if the shape says so.
/// Scores are float, the largest is subtracted before exp. The bits of a row of `out` depend on
/// its sequence alone: not on the batch, on how prefixes are shared or on the number of threads.
class Attention {
 public:
  /// @param segments  those that `memory` was laid out for, as far as they have keys
  /// @param memory    has the keys of these segments
  /// @param out       [wanted.size(), n_heads * head_dim]: row i answers wanted[i]
  void operator()(ThreadTeam& threads, const AttentionShape& shape,
                  std::span<const Segment> segments, const KeyMemory& memory,
                  const QueryRows& queries, Rows out);

  /// Upper bound of held_bytes() and those of the keys' memory for T tokens of which the longest
  /// sequence has `longest`.
  [[nodiscard]] static std::size_t workspace_bytes(const AttentionShape& shape, Index n_tokens,
                                                   Index n_segments, Index longest,
                                                   Index n_threads);
  /// Bytes of workspace that this object keeps.
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct Block {
    Index segment;
    Index first_query;  ///< in `wanted`
    Index n_queries;
  };
  struct Scratch {
    AlignedFloats floats;
    std::vector<Index> chain;  ///< segments that a block sees
  };
  struct Call;
  class BlockAnswer;
  Index cut_blocks(const Call& call);

  std::vector<Block> blocks_;
  std::vector<Scratch> scratch_;  ///< per thread
};

}  // namespace d2c::ops
