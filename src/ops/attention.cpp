#include "d2c/ops/attention.hpp"

#include <algorithm>

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index rows_per_block = 48;  // query rows times heads that share a key head

Index round_up(Index n) { return (n + panel_width - 1) / panel_width * panel_width; }

Index queries_per_block(const AttentionShape& shape) {
  return std::max(rows_per_block / (shape.n_heads / shape.n_kv_heads), Index{1});
}

/// Scratch of one block: queries and results [rows, head_dim], sums [rows], scores [rows, longest].
Index scratch_floats(const AttentionShape& shape, Index longest) {
  const Index rows = queries_per_block(shape) * (shape.n_heads / shape.n_kv_heads);
  return rows * (2 * shape.head_dim + 1 + round_up(longest));
}

}  // namespace

struct Attention::Call {
  const AttentionShape& shape;
  std::span<const Segment> segments;
  ConstRows q, k, v;
  std::span<const Index> queries;
  Rows out;
  Index n_keys = 0;  ///< of all segments, each rounded up to panels

  [[nodiscard]] const Segment& segment(Index i) const {
    return segments[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] Index head_panels() const { return round_up(shape.head_dim) / panel_width; }
};

/// Keys transposed and values as they are, both in panels: no copy per query head or per child.
void Attention::pack(ThreadTeam& threads, const Call& call) {
  const Index head_dim = call.shape.head_dim;
  const Index padded_dim = round_up(head_dim);
  grow_to(keys_, static_cast<std::size_t>(call.shape.n_kv_heads * call.n_keys * head_dim));
  grow_to(values_, static_cast<std::size_t>(call.shape.n_kv_heads * call.k.n * padded_dim));
  const Index n_segments = std::ssize(call.segments);
  constexpr Index work_per_element = 64;  // of a key and of a value, in places far apart
  const Index work = call.k.n * call.k.width * work_per_element;
  parallel_for(threads, call.shape.n_kv_heads * n_segments, work, [&](Index task) {
    const Index kv_head = task / n_segments;
    const Index index = task % n_segments;
    const Segment& segment = call.segment(index);
    float* keys = keys_.data() +
                  (kv_head * call.n_keys + first_key_[static_cast<std::size_t>(index)]) * head_dim;
    float* values = values_.data() + (kv_head * call.v.n + segment.begin) * padded_dim;
    for (Index j = 0; j < segment.length(); ++j) {
      const float* from = call.k.row(segment.begin + j) + kv_head * head_dim;
      float* to = keys + j / panel_width * panel_width * head_dim + j % panel_width;
      for (Index d = 0; d < head_dim; ++d) to[d * panel_width] = from[d];
    }
    for (Index j = segment.length(); j % panel_width != 0; ++j) {
      float* to = keys + j / panel_width * panel_width * head_dim + j % panel_width;
      for (Index d = 0; d < head_dim; ++d) to[d * panel_width] = 0.0F;
    }
    for (Index panel = 0; panel < call.head_panels(); ++panel) {
      const Index width = std::min(panel_width, head_dim - panel * panel_width);
      for (Index j = 0; j < segment.length(); ++j) {
        const float* from =
            call.v.row(segment.begin + j) + kv_head * head_dim + panel * panel_width;
        float* to = values + (panel * segment.length() + j) * panel_width;
        std::fill(std::copy(from, from + width, to), to + panel_width, 0.0F);
      }
    }
  });
}

/// One block of query rows with one key head: row i of the scratch is query i / group, head i %
/// group.
class Attention::BlockAnswer {
 public:
  BlockAnswer(const Attention& attention, const Call& call, const Block& block, Index kv_head,
              Scratch& scratch)
      : attention_(attention),
        call_(call),
        block_(block),
        own_(call.segment(block.segment)),
        kv_head_(kv_head),
        group_(call.shape.n_heads / call.shape.n_kv_heads),
        head_dim_(call.shape.head_dim),
        n_rows_(block.n_queries * group_),
        lowest_(first_seen(position(0))),
        n_positions_(position(n_rows_ - 1) + 1),
        score_stride_(round_up(n_positions_)),
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
  [[nodiscard]] Index query_row(Index i) const {
    return call_.queries[static_cast<std::size_t>(block_.first_query + i / group_)];
  }
  [[nodiscard]] Index head(Index i) const { return kv_head_ * group_ + i % group_; }
  [[nodiscard]] Index position(Index i) const {
    return own_.first_position + query_row(i) - own_.begin;
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
      const float* from = call_.q.row(query_row(i)) + head(i) * head_dim_;
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
      product.b = attention_.keys_.data() +
                  (kv_head_ * call_.n_keys + attention_.first_key_[static_cast<std::size_t>(s)] +
                   skipped(s)) *
                      head_dim_;
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
      const Segment& segment = call_.segment(s);
      const Index first = first_score(s);
      product.k = std::min(end_of(s), n_positions_) - first;
      product.a = scores_ + first;
      product.b = attention_.values_.data() +
                  (kv_head_ * call_.v.n + segment.begin) * round_up(head_dim_) +
                  skipped(s) * panel_width;
      product.panel_stride = segment.length() * panel_width;
      multiply_panels(product);
      product.store = Store::extend;
    }
  }

  void write_results() {
    for (Index i = 0; i < n_rows_; ++i) {
      const float* from = results_ + i * head_dim_;
      float* to = call_.out.row(block_.first_query + i / group_) + head(i) * head_dim_;
      const float factor = 1.0F / sums_[i];
      for (Index d = 0; d < head_dim_; ++d) to[d] = factor * from[d];
    }
  }

  const Attention& attention_;
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
                           std::span<const Segment> segments, ConstRows q, ConstRows k, ConstRows v,
                           std::span<const Index> queries, Rows out) {
  D2C_EXPECTS(shape.n_kv_heads > 0 && shape.n_heads % shape.n_kv_heads == 0);
  D2C_EXPECTS(q.width == shape.n_heads * shape.head_dim && out.width == q.width);
  D2C_EXPECTS(k.width == shape.n_kv_heads * shape.head_dim && v.width == k.width);
  D2C_EXPECTS(q.n == k.n && k.n == v.n && out.n == std::ssize(queries));
  Call call{shape, segments, q, k, v, queries, out};
  const Index longest = lay_out(call);
  pack(threads, call);

  const Index n_blocks = std::ssize(blocks_);
  scratch_.resize(static_cast<std::size_t>(threads.size()));
  for (Scratch& scratch : scratch_) {
    grow_to(scratch.floats, static_cast<std::size_t>(scratch_floats(shape, longest)));
  }
  const Index work = 4 * std::ssize(queries) * q.width * longest;
  parallel_for(threads, n_blocks * shape.n_kv_heads, work, [&](Index task, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    BlockAnswer(*this, call, blocks_[static_cast<std::size_t>(task / shape.n_kv_heads)],
                task % shape.n_kv_heads, scratch)
        .run();
  });
}

/// Places of the segments' keys, and the blocks of queries. @return length of the longest sequence
Index Attention::lay_out(Call& call) {
  first_key_.clear();
  blocks_.clear();
  Index longest = 0;
  Index query = 0;
  const Index n_queries = std::ssize(call.queries);
  for (Index s = 0; s < std::ssize(call.segments); ++s) {
    const Segment& segment = call.segment(s);
    first_key_.push_back(call.n_keys);
    call.n_keys += round_up(segment.length());
    longest = std::max(longest, segment.first_position + segment.length());
    for (Index first = query; query < n_queries; first = query) {
      const Index most = first + queries_per_block(call.shape);
      while (query < std::min(most, n_queries) &&
             call.queries[static_cast<std::size_t>(query)] < segment.end) {
        ++query;
      }
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
  const Index values = n_tokens * round_up(shape.head_dim);
  const auto floats = static_cast<std::size_t>(shape.n_kv_heads * (keys + values) +
                                               n_threads * scratch_floats(shape, longest));
  // Lists grow by doubling.
  const auto blocks =
      static_cast<std::size_t>(n_segments + n_tokens / queries_per_block(shape) + 1);
  const auto segments = static_cast<std::size_t>(n_segments + n_threads * n_segments);
  return sizeof(float) * floats + 2 * (sizeof(Block) * blocks + sizeof(Index) * segments);
}

std::size_t Attention::held_bytes() const {
  std::size_t bytes = ops::held_bytes(keys_) + ops::held_bytes(values_) +
                      ops::held_bytes(first_key_) + ops::held_bytes(blocks_);
  for (const Scratch& scratch : scratch_) {
    bytes += ops::held_bytes(scratch.floats) + ops::held_bytes(scratch.chain);
  }
  return bytes;
}

}  // namespace d2c::ops
