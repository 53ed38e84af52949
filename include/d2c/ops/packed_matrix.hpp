#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "d2c/ops/rows.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

/// How the values of a PackedMatrix are stored. BF16 is the upper half of a float, and becomes one
/// exactly.
enum class WeightFormat { f32, bf16 };

/// How products with a PackedMatrix are computed. Sums are float32 in either case.
enum class Arithmetic {
  f32,
  bf16,  ///< the other factor is rounded to BF16 as well; needs WeightFormat::bf16 and a processor
         ///< with AVX512_BF16
};
/// Whether this processor has it.
[[nodiscard]] bool is_supported(Arithmetic arithmetic);

/// The bits of a BF16 value.
enum class BFloat16 : std::uint16_t {};

/// Weights W [d_out, d_in] in the form that linear() reads: panels of 16 rows of W, each panel
/// stored column by column (BF16: two columns interleaved), the last one filled up with zeros. A
/// view: the memory belongs to the caller, and may be shared between processes.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// @param panels  packed_bytes(format, d_out, d_in) bytes, best aligned to 64
  PackedMatrix(Index d_out, Index d_in, WeightFormat format, const void* panels)
      : d_out_(d_out), d_in_(d_in), format_(format), panels_(panels) {}
  PackedMatrix(Index d_out, Index d_in, const float* panels)
      : PackedMatrix(d_out, d_in, WeightFormat::f32, panels) {}
  PackedMatrix(Index d_out, Index d_in, const BFloat16* panels)
      : PackedMatrix(d_out, d_in, WeightFormat::bf16, panels) {}

  [[nodiscard]] Index d_out() const { return d_out_; }
  [[nodiscard]] Index d_in() const { return d_in_; }
  [[nodiscard]] WeightFormat format() const { return format_; }
  [[nodiscard]] Arithmetic arithmetic() const { return arithmetic_; }
  /// The same matrix, for products in another arithmetic; without it they are computed in float32.
  /// @pre the format is BF16, or the arithmetic float32
  [[nodiscard]] PackedMatrix with(Arithmetic arithmetic) const;
  /// @tparam Value  float or BFloat16. @pre the format is that of Value
  template <class Value = float>
  [[nodiscard]] const Value* panels() const {
    D2C_EXPECTS((format_ == WeightFormat::bf16) == (sizeof(Value) == sizeof(BFloat16)));
    return static_cast<const Value*>(panels_);
  }
  /// Values from one panel to the next.
  [[nodiscard]] Index panel_stride() const;

  /// Row i of W, copied to `target` [d_in].
  void copy_row(Index i, std::span<float> target) const;
  /// Rows ids[0], ids[1], ... of W. @param target  [ids.size(), d_in]
  void copy_rows(ThreadTeam& threads, std::span<const std::int32_t> ids, Rows target) const;
  /// Rows [first, first + count) of W. @pre first is a multiple of 16
  [[nodiscard]] PackedMatrix rows(Index first, Index count) const;

 private:
  Index d_out_ = 0;
  Index d_in_ = 0;
  WeightFormat format_ = WeightFormat::f32;
  Arithmetic arithmetic_ = Arithmetic::f32;
  const void* panels_ = nullptr;
};

/// Bytes that W [d_out, d_in] takes when packed.
[[nodiscard]] std::size_t packed_bytes(WeightFormat format, Index d_out, Index d_in);
/// Values that W [d_out, d_in] takes when packed: a multiple of 16.
[[nodiscard]] std::size_t packed_floats(Index d_out, Index d_in);
[[nodiscard]] std::size_t packed_bfloats(Index d_out, Index d_in);

/// Packs rows [first, first + rows.n) of W [d_out, rows.width] into `panels`; packing the last row
/// also clears what fills up the last panel, and an odd last column its pair. BF16 rounds to
/// nearest, ties to even.
/// @param panels  packed_floats(d_out, rows.width) floats, or packed_bfloats(...) BF16 values
void pack_rows(ConstRows rows, Index first, Index d_out, std::span<float> panels);
void pack_rows(ConstRows rows, Index first, Index d_out, std::span<BFloat16> panels);

}  // namespace d2c::ops
