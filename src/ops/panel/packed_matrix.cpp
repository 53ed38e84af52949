#include "d2c/ops/packed_matrix.hpp"

#include <algorithm>

#include "panel/panel_kernel.hpp"
#include "panel/panel_order.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

template <class Value>
void pack(ConstRows rows, Index first, Index d_out, std::span<Value> panels) {
  using Order = PanelOrder<Value>;
  const Index d_in = rows.width;
  const Index stride = Order::size(d_in);
  D2C_EXPECTS(first >= 0 && first + rows.n <= d_out);
  D2C_EXPECTS(std::ssize(panels) == n_panels(d_out) * stride);
  for (Index i = 0; i < rows.n;) {
    Value* to = panels.data() + (first + i) / panel_width * stride;
    const Index lane = (first + i) % panel_width;
    const Index count = std::min(panel_width - lane, rows.n - i);
    // Panels are written once, from front to back.
    for (Index k = 0; k < d_in; ++k) {
      const float* from = rows.row(i) + k;
      for (Index l = 0; l < count; ++l) {
        to[Order::place(k, lane + l)] = Order::stored(from[l * rows.stride]);
      }
    }
    for (Index k = d_in; k * panel_width < stride; ++k) {
      for (Index l = 0; l < count; ++l) to[Order::place(k, lane + l)] = Value{};
    }
    i += count;
  }
  if (first + rows.n < d_out) return;
  Value* last = panels.data() + (n_panels(d_out) - 1) * stride;
  for (Index lane = d_out % panel_width; lane != 0 && lane < panel_width; ++lane) {
    for (Index k = 0; k * panel_width < stride; ++k) last[Order::place(k, lane)] = Value{};
  }
}

template <class Value>
void copy_from(const Value* panel, Index lane, std::span<float> target) {
  using Order = PanelOrder<Value>;
  for (Index k = 0; k < std::ssize(target); ++k) {
    target[static_cast<std::size_t>(k)] = Order::value(panel[Order::place(k, lane)]);
  }
}

}  // namespace

bool is_supported(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::f32 || vector_kernels().bf16.multiply_block != nullptr;
}

std::size_t packed_floats(Index d_out, Index d_in) {
  return static_cast<std::size_t>(n_panels(d_out) * PanelOrder<float>::size(d_in));
}

std::size_t packed_bfloats(Index d_out, Index d_in) {
  return static_cast<std::size_t>(n_panels(d_out) * PanelOrder<BFloat16>::size(d_in));
}

std::size_t packed_bytes(WeightFormat format, Index d_out, Index d_in) {
  return format == WeightFormat::bf16 ? packed_bfloats(d_out, d_in) * sizeof(BFloat16)
                                      : packed_floats(d_out, d_in) * sizeof(float);
}

void pack_rows(ConstRows rows, Index first, Index d_out, std::span<float> panels) {
  pack(rows, first, d_out, panels);
}

void pack_rows(ConstRows rows, Index first, Index d_out, std::span<BFloat16> panels) {
  pack(rows, first, d_out, panels);
}

Index PackedMatrix::panel_stride() const {
  return format_ == WeightFormat::bf16 ? PanelOrder<BFloat16>::size(d_in_)
                                       : PanelOrder<float>::size(d_in_);
}

void PackedMatrix::copy_row(Index i, std::span<float> target) const {
  D2C_EXPECTS(i >= 0 && i < d_out_ && std::ssize(target) == d_in_);
  const Index offset = i / panel_width * panel_stride();
  if (format_ == WeightFormat::bf16) {
    copy_from(panels<BFloat16>() + offset, i % panel_width, target);
  } else {
    copy_from(panels<float>() + offset, i % panel_width, target);
  }
}

void PackedMatrix::copy_rows(ThreadTeam& threads, std::span<const std::int32_t> ids,
                             Rows target) const {
  D2C_EXPECTS(std::ssize(ids) == target.n && target.width == d_in_);
  constexpr Index work_per_element = 64;  // a cache line for each
  parallel_for(threads, target.n, target.n * d_in_ * work_per_element, [&](Index t) {
    copy_row(ids[static_cast<std::size_t>(t)],
             {target.row(t), static_cast<std::size_t>(target.width)});
  });
}

PackedMatrix PackedMatrix::with(Arithmetic arithmetic) const {
  D2C_EXPECTS(arithmetic == Arithmetic::f32 || format_ == WeightFormat::bf16);
  PackedMatrix same = *this;
  same.arithmetic_ = arithmetic;
  return same;
}

PackedMatrix PackedMatrix::rows(Index first, Index count) const {
  D2C_EXPECTS(first % panel_width == 0 && first >= 0 && first + count <= d_out_);
  const std::size_t bytes = packed_bytes(format_, first, d_in_);
  PackedMatrix part = *this;
  part.d_out_ = count;
  part.panels_ = static_cast<const std::byte*>(panels_) + bytes;
  return part;
}

}  // namespace d2c::ops
