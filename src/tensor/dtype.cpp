#include "d2c/tensor/dtype.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "d2c/core/error.hpp"

namespace d2c {

static_assert(std::endian::native == std::endian::little,
              "safetensors is little-endian; a big-endian host would need byte swaps here");

namespace {

struct Row {
  DType type;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Row, 15> rows{{{DType::f64, "F64", 8},
                                    {DType::f32, "F32", 4},
                                    {DType::f16, "F16", 2},
                                    {DType::bf16, "BF16", 2},
                                    {DType::i64, "I64", 8},
                                    {DType::i32, "I32", 4},
                                    {DType::i16, "I16", 2},
                                    {DType::i8, "I8", 1},
                                    {DType::u64, "U64", 8},
                                    {DType::u32, "U32", 4},
                                    {DType::u16, "U16", 2},
                                    {DType::u8, "U8", 1},
                                    {DType::boolean, "BOOL", 1},
                                    {DType::f8_e4m3, "F8_E4M3", 1},
                                    {DType::f8_e5m2, "F8_E5M2", 1}}};

const Row& row(DType type) { return rows[static_cast<std::size_t>(type)]; }

template <class Stored, class Decode>
void decode_all(std::span<const std::byte> source, std::span<float> target, Decode decode) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, source.data() + i * sizeof(Stored), sizeof(Stored));
    target[i] = decode(stored);
  }
}

template <class Stored, class Encode>
void encode_all(std::span<const float> source, std::span<std::byte> target, Encode encode) {
  for (std::size_t i = 0; i < source.size(); ++i) {
    const Stored stored = encode(source[i]);
    std::memcpy(target.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

}  // namespace

std::size_t size_of(DType type) { return row(type).size; }
std::string_view name_of(DType type) { return row(type).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& candidate : rows) {
    if (candidate.name == name) return candidate.type;
  }
  return std::nullopt;
}

bool is_float(DType type) {
  return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

DType common_float(DType a, DType b) { return a == b ? a : DType::f32; }

float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t bf16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  const std::uint32_t round = 0x7fff + ((bits >> 16) & 1);
  return static_cast<std::uint16_t>((bits + round) >> 16);
}

float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7f800000 | ((magnitude & 0x3ff) << 13));
  }
  if (magnitude >= 0x400) {  // normal: rebias the exponent from 15 to 127
    return std::bit_cast<float>(sign | ((magnitude << 13) + (112U << 23)));
  }
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24F;
  return sign == 0 ? subnormal : -subnormal;
}

std::uint16_t f16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to 65536 or more: infinity
  if (magnitude >= 0x38800000) {                      // normal half
    const std::uint32_t round = 0xfff + ((magnitude >> 13) & 1);
    return static_cast<std::uint16_t>(sign | ((magnitude + round - (112U << 23)) >> 13));
  }
  // Adding 0.5 leaves the subnormal half, rounded to even by the FPU, in the low mantissa bits.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
  return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
}

void convert_to_float(std::span<const std::byte> source, DType type, std::span<float> target) {
  D2C_EXPECTS(is_float(type));
  D2C_EXPECTS(source.size() == target.size() * size_of(type));
  switch (type) {
    case DType::f32:
      if (!target.empty()) std::memcpy(target.data(), source.data(), source.size());
      break;
    case DType::f64:
      decode_all<double>(source, target, [](double v) { return static_cast<float>(v); });
      break;
    case DType::f16:
      decode_all<std::uint16_t>(source, target, float_from_f16);
      break;
    default:
      decode_all<std::uint16_t>(source, target, float_from_bf16);
  }
}

void convert_from_float(std::span<const float> source, DType type, std::span<std::byte> target) {
  D2C_EXPECTS(is_float(type));
  D2C_EXPECTS(target.size() == source.size() * size_of(type));
  switch (type) {
    case DType::f32:
      if (!source.empty()) std::memcpy(target.data(), source.data(), target.size());
      break;
    case DType::f64:
      encode_all<double>(source, target, [](float v) { return static_cast<double>(v); });
      break;
    case DType::f16:
      encode_all<std::uint16_t>(source, target, f16_from_float);
      break;
    default:
      encode_all<std::uint16_t>(source, target, bf16_from_float);
  }
}

}  // namespace d2c
