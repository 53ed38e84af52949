#include "d2c/ops/attention.hpp"

#include <algorithm>

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index rows_per_block = 48;  // query rows times heads that share a key head

Index queries_per_block(const AttentionShape& shape) {
  return std::max(rows_per_block / (shape.n_heads / shape.n_kv_heads), Index{1});
}

/// Scratch of one block: queries and results [rows, head_dim], sums [rows], scores [rows, longest].
Index scratch_floats(const AttentionShape& shape, Index longest) {
  const Index rows = queries_per_block(shape) * (shape.n_heads / shape.n_kv_heads);
  return rows * (2 * shape.head_dim + 1 + in_whole_panels(longest));
}

}  // namespace

struct Attention::Call {
  const AttentionShape& shape;
  std::span<const Segment> segments;
  const KeyMemory& memory;
  const QueryRows& queries;
  Rows out;

  [[nodiscard]] const Segment& segment(Index i) const {
    return segments[static_cast<std::size_t>(i)];
  }
  /// Row of q that is wanted.
  [[nodiscard]] Index row(Index query) const {
    return queries.wanted[static_cast<std::size_t>(query)];
  }
  /// Row of the segments where it stands.
  [[nodiscard]] Index place(Index query) const {
    const Index at = row(query);
    return queries.places.empty() ? at : queries.places[static_cast<std::size_t>(at)];
  }
};

/// One block of query rows with one key head: row i of the scratch is query i / group, head i %
/// group.
class Attention::BlockAnswer {
 public:
  BlockAnswer(const Call& call, const Block& block, Index kv_head, Scratch& scratch)
      : call_(call),
        block_(block),
        own_(call.segment(block.segment)),
        kv_head_(kv_head),
        group_(call.shape.n_heads / call.shape.n_kv_heads),
        head_dim_(call.shape.head_dim),
        n_rows_(block.n_queries * group_),
        lowest_(first_seen(position(0))),
        n_positions_(position(n_rows_ - 1) + 1),
        score_stride_(in_whole_panels(n_positions_)),
        queries_(scratch.floats.data()),
        results_(queries_ + n_rows_ * head_dim_),
        sums_(results_ + n_rows_ * head_dim_),
        scores_(sums_ + n_rows_),
        chain_(scratch.chain) {
    chain_.clear();
    for (Index s = block.segment; s >= 0 && end_of(s) > lowest_; s = call.segment(s).parent) {
      chain_.push_back(s);
    }
    std::ranges::reverse(chain_);
  }

  void run() {
    gather_queries();
    compute_scores();
    for (Index i = 0; i < n_rows_; ++i) sums_[i] = softmax(i);
    sum_values();
    write_results();
  }

 private:
  [[nodiscard]] Index query(Index i) const { return block_.first_query + i / group_; }
  [[nodiscard]] Index head(Index i) const { return kv_head_ * group_ + i % group_; }
  [[nodiscard]] Index position(Index i) const {
    return own_.first_position + call_.place(query(i)) - own_.begin;
  }
  [[nodiscard]] Index first_seen(Index position) const {
    const Index window = call_.shape.window;
    return window > 0 ? std::max(position - window + 1, Index{0}) : Index{0};
  }
  [[nodiscard]] Index end_of(Index s) const {
    return call_.segment(s).first_position + call_.segment(s).length();
  }
  /// First position of segment s that has a score.
  [[nodiscard]] Index first_score(Index s) const {
    return call_.segment(s).first_position + skipped(s);
  }
  /// Keys of segment s that lie before the block's window, in whole panels.
  [[nodiscard]] Index skipped(Index s) const {
    return std::max(lowest_ - call_.segment(s).first_position, Index{0}) / panel_width *
           panel_width;
  }

  void gather_queries() {
    for (Index i = 0; i < n_rows_; ++i) {
      const float* from = call_.queries.q.row(call_.row(query(i))) + head(i) * head_dim_;
      float* to = queries_ + i * head_dim_;
      for (Index d = 0; d < head_dim_; ++d) to[d] = call_.shape.scale * from[d];
    }
  }

  /// scores [rows, positions] = queries [rows, head_dim] keys^T, segment by segment.
  void compute_scores() {
    PanelProduct<float> product;
    product.m = n_rows_;
    product.k = head_dim_;
    product.a = queries_;
    product.lda = head_dim_;
    product.panel_stride = head_dim_ * panel_width;
    product.ldc = score_stride_;
    for (const Index s : chain_) {
      const Index first = first_score(s);
      product.n = std::min(end_of(s), n_positions_) - first;
      product.b = call_.memory.keys_.data() + call_.memory.first_of_keys(kv_head_, s) +
                  skipped(s) * head_dim_;
      product.c = scores_ + first;
      multiply_panels(product);
    }
  }

  /// Scores of row i become exp(score - maximum), and 0 where the row does not look.
  /// @return the sum
  float softmax(Index i) {
    const Index at = position(i);
    const Index from = first_seen(at);
    float* row = scores_ + i * score_stride_;
    const VectorLoops& loops = vector_kernels().loops;
    if (call_.shape.cap > 0.0F) loops.soft_cap(row + from, at + 1 - from, call_.shape.cap);
    const float maximum = loops.largest(row + from, at + 1 - from);
    std::fill(row + first_score(chain_.front()), row + from, 0.0F);
    std::fill(row + at + 1, row + n_positions_, 0.0F);
    return loops.exponentials(row + from, at + 1 - from, maximum);
  }

  /// results [rows, head_dim] = exp(scores) values, as one sum over all segments.
  void sum_values() {
    PanelProduct<float> product;
    product.m = n_rows_;
    product.n = head_dim_;
    product.lda = score_stride_;
    product.c = results_;
    product.ldc = head_dim_;
    for (const Index s : chain_) {
      const Index first = first_score(s);
      product.k = std::min(end_of(s), n_positions_) - first;
      product.a = scores_ + first;
      product.b = call_.memory.values_.data() + call_.memory.first_of_values(kv_head_, s) +
                  skipped(s) * panel_width;
      product.panel_stride = call_.memory.segment(s).length() * panel_width;
      multiply_panels(product);
      product.store = Store::extend;
    }
  }

  void write_results() {
    for (Index i = 0; i < n_rows_; ++i) {
      const float* from = results_ + i * head_dim_;
      float* to = call_.out.row(query(i)) + head(i) * head_dim_;
      const float factor = 1.0F / sums_[i];
      for (Index d = 0; d < head_dim_; ++d) to[d] = factor * from[d];
    }
  }

  const Call& call_;
  const Block& block_;
  const Segment& own_;
  Index kv_head_;
  Index group_;
  Index head_dim_;
  Index n_rows_;
  Index lowest_;       ///< first position that any row sees
  Index n_positions_;  ///< one past the last position that any row sees
  Index score_stride_;
  float* queries_;             ///< [rows, head_dim], scaled
  float* results_;             ///< [rows, head_dim]
  float* sums_;                ///< [rows]
  float* scores_;              ///< [rows, score_stride], column = position
  std::vector<Index>& chain_;  ///< segments seen, from the root to this one
};

void Attention::operator()(ThreadTeam& threads, const AttentionShape& shape,
                           std::span<const Segment> segments, const KeyMemory& memory,
                           const QueryRows& queries, Rows out) {
  D2C_EXPECTS(shape.n_kv_heads > 0 && shape.n_heads % shape.n_kv_heads == 0);
  D2C_EXPECTS(queries.q.width == shape.n_heads * shape.head_dim && out.width == queries.q.width);
  D2C_EXPECTS(out.n == std::ssize(queries.wanted));
  const Call call{shape, segments, memory, queries, out};
  const Index longest = cut_blocks(call);

  const Index n_blocks = std::ssize(blocks_);
  scratch_.resize(static_cast<std::size_t>(threads.size()));
  for (Scratch& scratch : scratch_) {
    grow_to(scratch.floats, static_cast<std::size_t>(scratch_floats(shape, longest)));
  }
  const Index work = 4 * out.n * out.width * longest;
  parallel_for(threads, n_blocks * shape.n_kv_heads, work, [&](Index task, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    BlockAnswer(call, blocks_[static_cast<std::size_t>(task / shape.n_kv_heads)],
                task % shape.n_kv_heads, scratch)
        .run();
  });
}

/// The blocks of queries. @return length of the longest sequence
Index Attention::cut_blocks(const Call& call) {
  blocks_.clear();
  Index longest = 0;
  Index query = 0;
  const Index n_queries = std::ssize(call.queries.wanted);
  for (Index s = 0; s < std::ssize(call.segments); ++s) {
    const Segment& segment = call.segment(s);
    longest = std::max(longest, segment.first_position + segment.length());
    for (Index first = query; query < n_queries; first = query) {
      const Index most = std::min(first + queries_per_block(call.shape), n_queries);
      while (query < most && call.place(query) < segment.end) ++query;
      if (query == first) break;
      blocks_.push_back({s, first, query - first});
    }
  }
  D2C_EXPECTS(query == n_queries);
  return longest;
}

std::size_t Attention::workspace_bytes(const AttentionShape& shape, Index n_tokens,
                                       Index n_segments, Index longest, Index n_threads) {
  const Index keys = (n_tokens + n_segments * (panel_width - 1)) * shape.head_dim;
  const Index values = n_tokens * in_whole_panels(shape.head_dim);
  const auto floats = static_cast<std::size_t>(shape.n_kv_heads * (keys + values) +
                                               n_threads * scratch_floats(shape, longest));
  // Lists grow by doubling.
  const auto blocks =
      static_cast<std::size_t>(n_segments + n_tokens / queries_per_block(shape) + 1);
  const auto segments = static_cast<std::size_t>(n_segments);
  const std::size_t per_segment =
      KeyMemory::bytes_per_segment + static_cast<std::size_t>(n_threads) * sizeof(Index);
  return sizeof(float) * floats + 2 * (sizeof(Block) * blocks + per_segment * segments);
}

std::size_t Attention::held_bytes() const {
  std::size_t bytes = ops::held_bytes(blocks_);
  for (const Scratch& scratch : scratch_) {
    bytes += ops::held_bytes(scratch.floats) + ops::held_bytes(scratch.chain);
  }
  return bytes;
}

}  // namespace d2c::ops
