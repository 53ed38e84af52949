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
};

/// Causal attention over sequences that share prefixes, with its workspace.
///
/// For query row i at position p and head h, over the keys j of its segment and of all ancestors
/// with p - window < position(j) <= p:
///   out_ih = sum_j softmax_j(scale q_ih . k_jh) v_jh
/// Scores are float, the largest is subtracted before exp. The bits of a row of `out` depend on
/// its sequence alone: not on the batch, on how prefixes are shared or on the number of threads.
class Attention {
 public:
  /// @param segments  parents precede children, rows tile [0, q.n)
  /// @param q         [T, n_heads * head_dim]
  /// @param k, v      [T, n_kv_heads * head_dim]
  /// @param queries   rows of q that are wanted, ascending
  /// @param out       [queries.size(), n_heads * head_dim]: row i answers queries[i]
  void operator()(ThreadTeam& threads, const AttentionShape& shape,
                  std::span<const Segment> segments, ConstRows q, ConstRows k, ConstRows v,
                  std::span<const Index> queries, Rows out);

  /// Upper bound of held_bytes() for T tokens of which the longest sequence has `longest`.
  [[nodiscard]] static std::size_t workspace_bytes(const AttentionShape& shape, Index n_tokens,
                                                   Index n_segments, Index longest,
                                                   Index n_threads);
  /// Bytes of workspace that this object keeps.
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct Block {
    Index segment;
    Index first_query;  ///< in `queries`
    Index n_queries;
  };
  struct Scratch {
    AlignedFloats floats;
    std::vector<Index> chain;  ///< segments that a block sees
  };
  struct Call;
  class BlockAnswer;
  Index lay_out(Call& call);
  void pack(ThreadTeam& threads, const Call& call);

  AlignedFloats keys_;    ///< per kv head, per segment: panels of 16 keys, [head_dim][16]
  AlignedFloats values_;  ///< per kv head, per segment: panels of 16 dimensions, [length][16]
  std::vector<Index> first_key_;  ///< per segment: its first key, segments rounded up to panels
  std::vector<Block> blocks_;
  std::vector<Scratch> scratch_;  ///< per thread
};

}  // namespace d2c::ops
