#include "d2c/safetensors/sharded_reader.hpp"

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/safetensors/writer.hpp"

#include "test_support.hpp"

namespace d2c::safetensors {
namespace {

using ::testing::ElementsAre;

/// A model folder of two shards: "a" [2, 2] in the first, "b" [4] in the second.
class ShardedReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write(first_, std::vector<TensorToWrite>{{"a", DType::f32, {2, 2}, values_}});
    write(second_, std::vector<TensorToWrite>{{"b", DType::f32, {4}, values_}});
    write_index(R"({"a": "s1.safetensors", "b": "s2.safetensors"})");
  }
  void write_index(const std::string& weight_map) const {
    test::write_file(folder_ / "model.safetensors.index.json",
                     R"({"metadata": {"total_size": 32}, "weight_map": )" + weight_map + "}");
  }

  test::TempFolder folder_;
  std::filesystem::path first_ = folder_ / "s1.safetensors";
  std::filesystem::path second_ = folder_ / "s2.safetensors";
  std::vector<float> values_{1.0F, 2.0F, 3.0F, 4.0F};
};

std::vector<std::filesystem::path> names_of(const ShardedReader& reader) {
  std::vector<std::filesystem::path> names;
  for (const Reader& file : reader.files()) names.push_back(file.file());
  return names;
}

TEST_F(ShardedReaderTest, FindsTensorsInTheirShards) {
  const ShardedReader reader(folder_.path());
  EXPECT_THAT(names_of(reader), ElementsAre(first_, second_));
  EXPECT_EQ(reader.file_of("a"), first_);
  EXPECT_EQ(reader.file_of("b"), second_);
  EXPECT_EQ(reader.tensors().size(), 2U);
  EXPECT_TRUE(reader.contains("b"));
  EXPECT_EQ(reader.vector("b"), values_);
  EXPECT_EQ(reader.bytes("b").size(), 16U);
  std::vector<float> row(2);
  reader.read_rows("a", 1, 1, row);
  EXPECT_THAT(row, ElementsAre(3.0F, 4.0F));
}

TEST_F(ShardedReaderTest, AnAbsentTensorIsAnErrorThatNamesTheIndex) {
  const ShardedReader reader(folder_.path());
  EXPECT_FALSE(reader.contains("c"));
  D2C_EXPECT_ERROR((void)reader.info("c"), InputError, "model.safetensors.index.json", "c",
                   "not in the model");
  EXPECT_EQ(reader.file_of("c").filename(), "model.safetensors.index.json");
}

TEST_F(ShardedReaderTest, ASingleFileComesBeforeAnIndex) {
  const auto single = folder_ / "model.safetensors";
  write(single, std::vector<TensorToWrite>{{"c", DType::f32, {4}, values_}});
  const ShardedReader reader(folder_.path());
  EXPECT_THAT(names_of(reader), ElementsAre(single));
  EXPECT_TRUE(reader.contains("c"));
  D2C_EXPECT_ERROR((void)reader.vector("a"), InputError, "model.safetensors", "not in the model");
}

TEST_F(ShardedReaderTest, RefusesAMissingShard) {
  std::filesystem::remove(second_);
  D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, IoError, "s2.safetensors", "cannot be opened");
}

TEST_F(ShardedReaderTest, RefusesATensorMissingFromItsShard) {
  write_index(R"({"a": "s1.safetensors", "b": "s2.safetensors", "c": "s2.safetensors"})");
  D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "index.json", "c",
                   "not in s2.safetensors");
  write_index(R"({"a": "s2.safetensors", "b": "s1.safetensors"})");
  D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "a", "not in s2.safetensors");
}

TEST_F(ShardedReaderTest, RefusesATensorMissingFromTheIndex) {
  write(second_, std::vector<TensorToWrite>{{"b", DType::f32, {4}, values_},
                                            {"extra", DType::f32, {4}, values_}});
  D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "s2.safetensors", "extra",
                   "not in the index");
}

TEST_F(ShardedReaderTest, RefusesATensorInTwoShards) {
  write(second_, std::vector<TensorToWrite>{{"a", DType::f32, {4}, values_},
                                            {"b", DType::f32, {4}, values_}});
  D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "s2.safetensors", "a",
                   "also in s1.safetensors");
}

TEST_F(ShardedReaderTest, RefusesShardsOutsideTheFolder) {
  for (const char* shard : {"\"../s1.safetensors\"", "\"/etc/passwd\"", "\"\"", "3"}) {
    write_index(std::string(R"({"a": )") + shard + "}");
    D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "index.json", "a",
                     "not a file name");
  }
}

TEST_F(ShardedReaderTest, RefusesAnIndexWithoutWeightMap) {
  for (const char* text : {"{}", "[]", R"({"weight_map": []})"}) {
    test::write_file(folder_ / "model.safetensors.index.json", text);
    D2C_EXPECT_ERROR(ShardedReader{folder_.path()}, InputError, "index.json", "weight_map");
  }
}

TEST(ShardedReader, RefusesAFolderWithoutWeights) {
  const test::TempFolder folder;
  D2C_EXPECT_ERROR(ShardedReader{folder.path()}, InputError, "holds neither model.safetensors");
}

}  // namespace
}  // namespace d2c::safetensors
