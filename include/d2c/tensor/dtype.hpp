#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace d2c {

/// Element types of safetensors files. Only the float types F64, F32, F16 and BF16 convert.
enum class DType {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2
};

/// Bytes per element.
[[nodiscard]] std::size_t size_of(DType type);
/// The name used in safetensors headers ("F32", "BF16", ...).
[[nodiscard]] std::string_view name_of(DType type);
/// Inverse of name_of; nothing for an unknown name.
[[nodiscard]] std::optional<DType> dtype_from_name(std::string_view name);
[[nodiscard]] bool is_float(DType type);
/// A float type for values of both, which are computed as float32: theirs if they agree, else F32.
[[nodiscard]] DType common_float(DType a, DType b);

/// IEEE half and bfloat16 from and to float; to rounds to nearest even, NaN stays NaN.
[[nodiscard]] float float_from_f16(std::uint16_t bits);
[[nodiscard]] float float_from_bf16(std::uint16_t bits);
[[nodiscard]] std::uint16_t f16_from_float(float value);
[[nodiscard]] std::uint16_t bf16_from_float(float value);

/// Converts `source.size() / size_of(type)` little-endian elements. @pre is_float(type), sizes
/// agree
void convert_to_float(std::span<const std::byte> source, DType type, std::span<float> target);
/// Rounds to `type`. @pre is_float(type), target.size() == source.size() * size_of(type)
void convert_from_float(std::span<const float> source, DType type, std::span<std::byte> target);

}  // namespace d2c
