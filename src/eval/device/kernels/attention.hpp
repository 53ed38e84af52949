#pragma once

#include "device/kernels/lanes.hpp"
#include "device/kernels/rows.hpp"

namespace d2c::eval::device {

/// Queries, keys and values as the product gives them, heads side by side. [rows, stride]
struct Heads {
  float* qkv;
  Index stride;
  int n_heads;
  int n_kv_heads;
  int head_dim;

  [[nodiscard]] D2C_KERNEL float* head(Index row, Index index) const {
    return qkv + row * stride + index * head_dim;
  }
  [[nodiscard]] D2C_KERNEL const float* value(Index row, int kv_head) const {
    return head(row, n_heads + n_kv_heads + kv_head);
  }
};

/// Norm and rotary embedding of a head of q or k. Tasks: rows times (n_heads + n_kv_heads).
struct PlaceHead {
  Heads heads;
  const std::int32_t* positions;
  const float* cos;  ///< [positions, half], null = no rotary embedding
  const float* sin;
  Index half;
  double growth;  ///< see model::RopeConfig::query_growth
  double growth_from;
  RowNorm q_norm;  ///< weight null = none
  RowNorm k_norm;
  bool weight_per_head;
  bool norm_after;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index task) const {
    const Index n = heads.n_heads + heads.n_kv_heads;
    const Index row = task / n;
    const Index index = task % n;
    float* x = heads.head(row, index);
    const bool is_query = index < heads.n_heads;
    RowNorm norm = is_query ? q_norm : k_norm;
    if (weight_per_head) norm.weight += (is_query ? index : index - heads.n_heads) * heads.head_dim;
    const auto normalise = [&] {
      if (norm.weight == nullptr) return;
      norm(lanes, x, heads.head_dim, [&](Index i, float value) { x[i] = value; });
    };
    if (!norm_after) normalise();
    if (cos != nullptr) rotate(lanes, x, positions[row], is_query);
    if (norm_after) normalise();
  }

 private:
  template <class Lanes>
  D2C_KERNEL void rotate(const Lanes& lanes, float* x, Index position, bool is_query) const {
    lanes.spread(half, [&](Index i) {
      const float c = cos[position * half + i];
      const float s = sin[position * half + i];
      const float first = x[i];
      const float second = x[i + half];
      x[i] = first * c - second * s;
      x[i + half] = second * c + first * s;
    });
    if (growth == 0.0 || !is_query) return;
    const double turns = floor(static_cast<double>(position) / growth_from);
    const auto factor = static_cast<float>(1.0 + growth * log(1.0 + turns));
    lanes.spread(heads.head_dim, [&](Index i) { x[i] *= factor; });
  }
};

/// keys [kv_size, key_stride] = k transposed, so that lanes that look at neighbouring keys read
/// neighbouring values. Tasks: rows.
struct StoreKeys {
  Heads heads;
  float* keys;
  Index key_stride;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    const float* k = heads.head(row, heads.n_heads);
    lanes.spread(Index{heads.n_kv_heads} * heads.head_dim,
                 [&](Index i) { keys[i * key_stride + row] = k[i]; });
  }
};

/// What the attention of one layer reads besides the heads.
struct AttentionInput {
  Heads heads;
  const float* keys;  ///< see StoreKeys
  Index key_stride;
  const std::int32_t* positions;    ///< [rows]
  const std::int64_t* chain_begin;  ///< [rows] see PassTables
  const std::int32_t* chain_rows;
  const std::int32_t* queries;  ///< rows whose output is wanted; null = all
  float scale;
  Index window;  ///< tokens that a query sees; 0 = all
  float cap;     ///< a score s becomes cap tanh(s / cap); 0 = it stays
  Values out;    ///< [queries, n_heads * head_dim]
};

/// out = softmax(scale q kᵀ) v for `heads` heads that share a key head, over the row's sequence,
/// which may lie in several segments of a forest. Online softmax over tiles of 32 positions counted
/// from the start of the sequence, so that the bits do not depend on where segments begin. Tasks:
/// queries times n_heads / heads.
/// Source: Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018.
/// @tparam dims  head_dim <= 32 dims
template <int n_heads, int dims>
struct Attend {
  AttentionInput in;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index task) const {
    const int per_query = in.heads.n_heads / n_heads;
    const Index query = task / per_query;
    const int head = static_cast<int>(task % per_query) * n_heads;
    const Index row = in.queries == nullptr ? query : in.queries[query];
    const int kv_head = head / (in.heads.n_heads / in.heads.n_kv_heads);
    const Index position = in.positions[row];
    const Index first =
        in.window > 0 && position >= in.window ? position - in.window + 1 : Index{0};

    typename Lanes::template Each<Sums> out;
    lanes.each([&](int lane) { out[lane] = Sums{}; });
    float maximum[n_heads];
    float sum[n_heads] = {};
    for (float& m : maximum) m = minus_infinity;
    for (Index tile = first / n_lanes * n_lanes; tile <= position; tile += n_lanes) {
      typename Lanes::template Each<std::int32_t> key;
      typename Lanes::template Each<float> weight[n_heads];
      score(lanes, row, head, kv_head, tile, first, position, key, weight);
      for (int h = 0; h < n_heads; ++h) {
        const float highest = fmaxf(maximum[h], lanes.largest(weight[h]));
        const float factor = expf(maximum[h] - highest);
        maximum[h] = highest;
        lanes.each([&](int lane) {
          weight[h][lane] = expf(weight[h][lane] - highest);
          for (int i = 0; i < dims; ++i) out[lane].of[h][i] *= factor;
        });
        sum[h] = sum[h] * factor + lanes.total(weight[h]);
      }
      add_values(lanes, kv_head, tile, first, position, key, weight, out);
    }
    lanes.each([&](int lane) {
      for (int h = 0; h < n_heads; ++h) {
        for (int i = 0; i < dims; ++i) {
          const int d = lane + i * n_lanes;
          if (d >= in.heads.head_dim) continue;
          in.out.set((query * in.heads.n_heads + head + h) * in.heads.head_dim + d,
                     out[lane].of[h][i] / sum[h]);
        }
      }
    });
  }

 private:
  struct Sums {
    float of[n_heads][dims];
  };

  /// Each lane has one key of the tile; -infinity where the query does not look.
  template <class Lanes, class Key, class Weight>
  D2C_KERNEL void score(const Lanes& lanes, Index row, int head, int kv_head, Index tile,
                        Index first, Index position, Key& key, Weight* weight) const {
    const int head_dim = in.heads.head_dim;
    lanes.each([&](int lane) {
      const Index at = tile + lane;
      const bool is_seen = at >= first && at <= position;
      key[lane] = is_seen ? in.chain_rows[in.chain_begin[row] + at] : static_cast<int>(row);
      const float* k = in.keys + Index{kv_head} * head_dim * in.key_stride + key[lane];
      const float* q = in.heads.head(row, head);
      float score[n_heads] = {};
      for (int d = 0; d < head_dim; d += 4) {
        float of_key[4];
        for (int j = 0; j < 4; ++j) of_key[j] = k[(d + j) * in.key_stride];
        for (int h = 0; h < n_heads; ++h) {
          const Float4 of_query = load4(q + Index{h} * head_dim + d);
          for (int j = 0; j < 4; ++j) score[h] += of_query.of[j] * of_key[j];
        }
      }
      for (int h = 0; h < n_heads; ++h) {
        float s = in.scale * score[h];
        if (in.cap > 0.0F) s = in.cap * tanhf(s / in.cap);
        weight[h][lane] = is_seen ? s : minus_infinity;
      }
    });
  }

  /// Each lane has dimensions lane, lane + 32, ... of the heads.
  template <class Lanes, class Key, class Weight, class Out>
  D2C_KERNEL void add_values(const Lanes& lanes, int kv_head, Index tile, Index first,
                             Index position, const Key& key, const Weight* weight, Out& out) const {
    const int begin = first > tile ? static_cast<int>(first - tile) : 0;
    const int end = position - tile < n_lanes ? static_cast<int>(position - tile) + 1 : n_lanes;
    lanes.each([&](int lane) {
      for (int j = begin; j < end; ++j) {
        const float* v = in.heads.value(lanes.from(key, j), kv_head);
        float of_head[n_heads];
        for (int h = 0; h < n_heads; ++h) of_head[h] = lanes.from(weight[h], j);
        for (int i = 0; i < dims; ++i) {
          const int d = lane + i * n_lanes;
          const float value = d < in.heads.head_dim ? v[d] : 0.0F;
          for (int h = 0; h < n_heads; ++h) out[lane].of[h][i] += of_head[h] * value;
        }
      }
    });
  }
};

}  // namespace d2c::eval::device
