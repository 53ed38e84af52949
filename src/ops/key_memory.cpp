#include <algorithm>

#include "d2c/ops/attention.hpp"

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {

void KeyMemory::lay_out(const AttentionShape& shape, std::span<const Segment> segments) {
  n_kv_heads_ = shape.n_kv_heads;
  head_dim_ = shape.head_dim;
  segments_.assign(segments.begin(), segments.end());
  first_key_.clear();
  n_keys_ = n_rows_ = 0;
  for (const Segment& segment : segments) {
    D2C_EXPECTS(segment.begin >= n_rows_ && segment.end >= segment.begin);
    first_key_.push_back(n_keys_);
    n_keys_ += in_whole_panels(segment.length());
    n_rows_ = segment.end;
  }
  grow_to(keys_, static_cast<std::size_t>(n_kv_heads_ * n_keys_ * head_dim_));
  grow_to(values_, static_cast<std::size_t>(n_kv_heads_ * n_rows_ * in_whole_panels(head_dim_)));
}

Index KeyMemory::first_of_values(Index kv_head, Index index) const {
  return (kv_head * n_rows_ + segment(index).begin) * in_whole_panels(head_dim_);
}

void KeyMemory::find_runs(std::span<const Index> places, Index n) {
  runs_.clear();
  const auto place = [&](Index row) {
    return places.empty() ? row : places[static_cast<std::size_t>(row)];
  };
  Index row = 0;
  for (Index s = 0; s < std::ssize(segments_) && row < n; ++s) {
    Run run{s, place(row) - segment(s).begin, row, 0};
    while (row < n && place(row) < segment(s).end) ++row;
    run.n = row - run.first_row;
    if (run.n == 0) continue;
    D2C_EXPECTS(run.first_key >= 0 &&
                place(row - 1) - segment(s).begin == run.first_key + run.n - 1);
    runs_.push_back(run);
  }
  D2C_EXPECTS(row == n);
}

void KeyMemory::put(ThreadTeam& threads, ConstRows k, ConstRows v, std::span<const Index> places) {
  D2C_EXPECTS(k.width == n_kv_heads_ * head_dim_ && v.width == k.width && v.n == k.n);
  find_runs(places, k.n);
  const Index n_runs = std::ssize(runs_);
  constexpr Index work_per_element = 64;  // of a key and of a value, in places far apart
  const Index work = k.n * k.width * work_per_element;
  parallel_for(threads, n_kv_heads_ * n_runs, work, [&](Index task) {
    const Index kv_head = task / n_runs;
    const Run& run = runs_[static_cast<std::size_t>(task % n_runs)];
    const Index end = run.first_key + run.n;
    float* keys = keys_.data() + first_of_keys(kv_head, run.segment);
    float* values = values_.data() + first_of_values(kv_head, run.segment);
    const auto key = [&](Index j) {
      return keys + j / panel_width * panel_width * head_dim_ + j % panel_width;
    };
    for (Index j = run.first_key; j < end; ++j) {
      const float* from = k.row(run.first_row + j - run.first_key) + kv_head * head_dim_;
      float* to = key(j);
      for (Index d = 0; d < head_dim_; ++d) to[d * panel_width] = from[d];
    }
    for (Index j = end; j % panel_width != 0; ++j) {
      float* to = key(j);
      for (Index d = 0; d < head_dim_; ++d) to[d * panel_width] = 0.0F;
    }
    const Index length = segment(run.segment).length();
    for (Index first = 0; first < head_dim_; first += panel_width) {
      const Index width = std::min(panel_width, head_dim_ - first);
      for (Index j = run.first_key; j < end; ++j) {
        const float* from = v.row(run.first_row + j - run.first_key) + kv_head * head_dim_ + first;
        float* to = values + first * length + j * panel_width;
        std::fill(std::copy(from, from + width, to), to + panel_width, 0.0F);
      }
    }
  });
}

std::size_t KeyMemory::held_bytes() const {
  return ops::held_bytes(keys_) + ops::held_bytes(values_) + ops::held_bytes(segments_) +
         ops::held_bytes(first_key_) + ops::held_bytes(runs_);
}

}  // namespace d2c::ops
