#include "d2c/tensor/dtype.hpp"

#include <array>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace d2c {
namespace {

TEST(DType, NamesRoundTrip) {
  for (const char* name : {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32",
                           "U16", "U8", "BOOL", "F8_E4M3", "F8_E5M2"}) {
    const auto type = dtype_from_name(name);
    ASSERT_TRUE(type.has_value()) << name;
    EXPECT_EQ(name_of(*type), name);
  }
  EXPECT_FALSE(dtype_from_name("F12").has_value());
}

TEST(Half, EveryBitPatternRoundTripsThroughFloat) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (const float f = float_from_f16(half); !std::isnan(f)) {
      EXPECT_EQ(f16_from_float(f), half);
    }
    if (const float f = float_from_bf16(half); !std::isnan(f)) {
      EXPECT_EQ(bf16_from_float(f), half);
    }
  }
}

TEST(Half, DecodesKnownValues) {
  EXPECT_EQ(float_from_f16(0x3c00), 1.0F);
  EXPECT_EQ(float_from_f16(0xc000), -2.0F);
  EXPECT_EQ(float_from_f16(0x7bff), 65504.0F);
  EXPECT_EQ(float_from_f16(0x0001), 0x1p-24F);
  EXPECT_TRUE(std::isinf(float_from_f16(0x7c00)));
  EXPECT_TRUE(std::isnan(float_from_f16(0x7e00)));
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(f16_from_float(1.0F + 0x1p-11F), 0x3c00);      // tie, even below
  EXPECT_EQ(f16_from_float(1.0F + 3 * 0x1p-11F), 0x3c02);  // tie, even above
  EXPECT_EQ(f16_from_float(65520.0F), 0x7c00);             // rounds to infinity
  EXPECT_EQ(f16_from_float(65519.0F), 0x7bff);
  EXPECT_EQ(f16_from_float(0x1p-25F), 0x0000);  // tie between 0 and 2^-24
  EXPECT_EQ(f16_from_float(0x1.8p-24F), 0x0002);
  EXPECT_EQ(bf16_from_float(1.0F + 0x1p-8F), 0x3f80);  // tie, even below
  EXPECT_EQ(bf16_from_float(1.0F + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(bf16_from_float(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(float_from_bf16(bf16_from_float(std::nanf("")))));
  EXPECT_TRUE(std::isnan(float_from_f16(f16_from_float(std::nanf("")))));
}

TEST(CommonFloat, IsTheirsWhereTheyAgreeInAnyOrder) {
  const std::array types{DType::f64, DType::f32, DType::f16, DType::bf16};
  for (const DType a : types) {
    EXPECT_EQ(common_float(a, a), a);
    for (const DType b : types) {
      EXPECT_EQ(common_float(a, b), common_float(b, a));
      for (const DType c : types) {
        EXPECT_EQ(common_float(common_float(a, b), c), common_float(a, common_float(b, c)));
      }
    }
  }
  EXPECT_EQ(common_float(DType::f16, DType::bf16), DType::f32);
}

TEST(Convert, RoundTripsEveryFloatType) {
  const std::array<float, 4> values{0.0F, 1.5F, -2.25F, 1024.0F};
  for (const DType type : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    std::array<std::byte, 32> buffer{};
    const auto bytes = std::span(buffer).first(4 * size_of(type));
    convert_from_float(values, type, bytes);
    std::array<float, 4> back{};
    convert_to_float(bytes, type, back);
    EXPECT_EQ(back, values) << name_of(type);
  }
}

}  // namespace
}  // namespace d2c
