#include "d2c/safetensors/writer.hpp"

#include <limits>

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/safetensors/reader.hpp"

#include "raw_file.hpp"

namespace d2c::safetensors {
namespace {

std::vector<float> normals(std::size_t count) {
  CounterRng rng(1, 2);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

TEST(Writer, F32ComesBackBitForBit) {
  const test::TempFolder folder;
  std::vector<float> values = normals(35);
  values[3] = -0.0F;
  values[4] = std::numeric_limits<float>::denorm_min();
  values[5] = std::numeric_limits<float>::max();
  write(folder / "x", std::vector<TensorToWrite>{{"w", DType::f32, {5, 7}, values},
                                                 {"v", DType::f64, {35}, values}});
  const Reader reader(folder / "x");
  const auto bytes = std::as_bytes(std::span<const float>(values));
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(reader.matrix("w").values()), bytes));
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span<const float>(reader.vector("v"))), bytes));
}

TEST(Writer, ShortFloatsComeBackRoundedToNearest) {
  const test::TempFolder folder;
  const std::vector<float> values = normals(1000);
  write(folder / "x", std::vector<TensorToWrite>{{"f16", DType::f16, {1000}, values},
                                                 {"bf16", DType::bf16, {1000}, values}});
  const Reader reader(folder / "x");
  for (const auto& [name, half_ulp] : {std::pair("f16", 0x1p-11F), std::pair("bf16", 0x1p-8F)}) {
    const auto stored = reader.vector(name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      // 2^-24 is the spacing of subnormal F16.
      EXPECT_NEAR(stored[i], values[i], std::max(std::abs(values[i]) * half_ulp, 0x1p-25F));
    }
  }
}

TEST(Writer, LayoutIsThatOfTheReferenceWriter) {
  const test::TempFolder folder;
  const std::vector<float> values{1.0F, 2.0F};
  write(folder / "x",
        std::vector<TensorToWrite>{{"a", DType::f16, {2}, values},
                                   {"c", DType::f32, {1, 2}, values},
                                   {"b", DType::f32, {2}, values},
                                   {"s", DType::f32, {}, std::span(values).first(1)}},
        {{"format", "pt"}});
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("c":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},)"
      R"("s":{"dtype":"F32","shape":[],"data_offsets":[16,20]},)"
      R"("a":{"dtype":"F16","shape":[2],"data_offsets":[20,24]}})";
  std::string padded = header;
  padded.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string written = json::read_text(folder / "x");
  EXPECT_EQ(written.substr(0, 8 + padded.size()), raw_file(padded, 0));
  EXPECT_EQ(written.size(), 8 + padded.size() + 24);
}

TEST(Writer, EqualContentGivesEqualBytesInAnyOrderOfTensors) {
  const test::TempFolder folder;
  const std::vector<float> values = normals(6);
  const TensorToWrite v{"v", DType::f32, {6}, values};
  const TensorToWrite w{"w", DType::bf16, {2, 3}, values};
  write(folder / "vw", std::vector<TensorToWrite>{v, w});
  write(folder / "wv", std::vector<TensorToWrite>{w, v});
  EXPECT_EQ(json::read_text(folder / "vw"), json::read_text(folder / "wv"));
}

TEST(Writer, ReplacesAFileWholeAndLeavesNothingBeside) {
  const test::TempFolder folder;
  const std::vector<float> values{1.0F};
  write(folder / "x", std::vector<TensorToWrite>{{"old", DType::f32, {1}, values}});
  write(folder / "x", std::vector<TensorToWrite>{{"new", DType::f32, {1}, values}});
  EXPECT_TRUE(Reader(folder / "x").contains("new"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Writer, KeepsTheOldFileWhenAValueDoesNotFitTheType) {
  const test::TempFolder folder;
  const std::vector<float> values{1.0F, 70000.0F};
  write(folder / "x", std::vector<TensorToWrite>{{"w", DType::f32, {2}, values}});
  const std::vector<TensorToWrite> too_large{{"w", DType::f16, {2}, values}};
  D2C_EXPECT_ERROR(write(folder / "x", too_large), InputError, "w", "70000", "element 1", "F16");
  const std::vector<float> bad{std::numeric_limits<float>::quiet_NaN()};
  const std::vector<TensorToWrite> not_a_number{{"w", DType::f32, {1}, bad}};
  D2C_EXPECT_ERROR(write(folder / "x", not_a_number), InputError, "w", "nan", "element 0");
  EXPECT_EQ(Reader(folder / "x").vector("w"), values);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Writer, NamesAFileThatCannotBeWritten) {
  const test::TempFolder folder;
  D2C_EXPECT_ERROR(write(folder / "absent/x", {}), IoError, "absent/x", "cannot be written");
}

}  // namespace
}  // namespace d2c::safetensors
