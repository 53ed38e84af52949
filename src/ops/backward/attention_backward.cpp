#include <algorithm>

#include "d2c/ops/backward.hpp"

#include "backward/cap_slopes.hpp"
#include "panel/lanes.hpp"
#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

float dot(const float* a, const float* b, Index n) {
  return sum_in_lanes(n, [&](Index i) { return a[i] * b[i]; });
}

void add_scaled(float factor, const float* from, Index n, float* to) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) to[i] += factor * from[i];
}

}  // namespace

// For one query row with probabilities p, out = sum_j p_j v_j:
//   dv_j += p_j dout,  dp_j = dout . v_j,  ds_j = p_j (dp_j - sum_i p_i dp_i),
//   dq = scale sum_j ds_j k_j,  dk_j += scale ds_j q,
// where a cap multiplies ds_j by the slope 1 - (s_j / cap)^2 of the capped score s_j.
void AttentionBackward::operator()(ThreadTeam& threads, const AttentionShape& shape,
                                   std::span<const Segment> segments, ConstRows q, ConstRows k,
                                   ConstRows v, std::span<const Index> queries, ConstRows dout,
                                   Rows dq, Rows dk, Rows dv) {
  D2C_EXPECTS(dout.n == std::ssize(queries) && dout.width == q.width);
  D2C_EXPECTS(dq.n == q.n && dq.width == q.width && dk.n == k.n && dv.n == v.n);
  clear(dq);
  clear(dk);
  clear(dv);
  Index longest = 0;
  for (const Segment& segment : segments) {
    longest = std::max(longest, segment.first_position + segment.length());
  }
  scratch_.resize(static_cast<std::size_t>(threads.size()));
  for (Scratch& scratch : scratch_) {
    grow_to(scratch.floats, static_cast<std::size_t>(3 * longest));
    scratch.rows.reserve(static_cast<std::size_t>(longest));
  }
  const Index group = shape.n_heads / shape.n_kv_heads;
  const Index d = shape.head_dim;
  const Index work = 8 * std::ssize(queries) * q.width * longest;
  // Heads that share a key head stay together: what they add to it keeps its order.
  parallel_for(threads, shape.n_kv_heads, work, [&](Index kv_head, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    float* p = scratch.floats.data();
    float* dp = p + longest;
    float* slope = dp + longest;
    std::vector<Index>& rows = scratch.rows;
    std::size_t next = 0;
    for (const Segment& segment : segments) {
      rows.resize(static_cast<std::size_t>(segment.first_position + segment.length()));
      const Segment* part = &segment;
      while (true) {
        for (Index i = 0; i < part->length(); ++i) {
          rows[static_cast<std::size_t>(part->first_position + i)] = part->begin + i;
        }
        if (part->parent < 0) break;
        part = &segments[static_cast<std::size_t>(part->parent)];
      }
      for (; next < queries.size() && queries[next] < segment.end; ++next) {
        const Index row = queries[next];
        const Index end = segment.first_position + row - segment.begin + 1;
        const Index first = shape.window > 0 ? std::max(end - shape.window, Index{0}) : Index{0};
        const auto key_row = [&](Index j) { return rows[static_cast<std::size_t>(first + j)]; };
        const Index n = end - first;
        for (Index head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const float* query = q.row(row) + head * d;
          const float* from_above = dout.row(static_cast<Index>(next)) + head * d;
          for (Index j = 0; j < n; ++j) {
            p[j] = shape.scale * dot(query, k.row(key_row(j)) + kv_head * d, d);
            dp[j] = dot(from_above, v.row(key_row(j)) + kv_head * d, d);
          }
          const VectorLoops& loops = vector_kernels().loops;
          if (shape.cap > 0.0F) {
            loops.soft_cap(p, n, shape.cap);
            cap_slopes(p, n, shape.cap, slope);
          }
          const float inverse = 1.0F / loops.exponentials(p, n, loops.largest(p, n));
          for (Index j = 0; j < n; ++j) p[j] *= inverse;
          const float expected = dot(p, dp, n);
          for (Index j = 0; j < n; ++j) dp[j] = shape.scale * p[j] * (dp[j] - expected);
          if (shape.cap > 0.0F) multiply(slope, n, dp);
          for (Index j = 0; j < n; ++j) {
            const float ds = dp[j];
            add_scaled(p[j], from_above, d, dv.row(key_row(j)) + kv_head * d);
            add_scaled(ds, query, d, dk.row(key_row(j)) + kv_head * d);
            add_scaled(ds, k.row(key_row(j)) + kv_head * d, d, dq.row(row) + head * d);
          }
        }
      }
    }
  });
}

std::size_t AttentionBackward::workspace_bytes(Index longest, Index n_threads) {
  return static_cast<std::size_t>(n_threads * longest) * (3 * sizeof(float) + sizeof(Index));
}

std::size_t AttentionBackward::held_bytes() const {
  std::size_t bytes = 0;
  for (const Scratch& scratch : scratch_) {
    bytes += ops::held_bytes(scratch.floats) + ops::held_bytes(scratch.rows);
  }
  return bytes;
}

}  // namespace d2c::ops
