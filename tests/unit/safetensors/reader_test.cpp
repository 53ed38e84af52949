#include "d2c/safetensors/reader.hpp"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/safetensors/writer.hpp"

#include "raw_file.hpp"

namespace d2c::safetensors {
namespace {

using ::testing::ElementsAre;

struct Malformed {
  const char* name;
  std::string bytes;
  const char* reason;  ///< must appear in the message
  const char* tensor = "";
};

std::string one(const std::string& entry, std::size_t n_data) {
  return raw_file(R"({"w":)" + entry + "}", n_data);
}

std::string length_only(std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

TEST(Reader, RefusesEveryMalformedFileForItsReason) {
  const std::string two = R"("dtype":"U8","shape":[2],"data_offsets":)";
  const Malformed cases[] = {
      {"empty", "", "truncated"},
      {"shorter than its prefix", "\x02\x00\x00", "truncated"},
      {"no header after the prefix", length_only(2), "truncated"},
      {"header longer than the file", raw_file("{}", 0).substr(0, 9), "truncated"},
      {"header length above the limit", length_only(100'000'001) + "{}", "exceeds 100000000"},
      {"header length of all ones", length_only(~0ULL) + "{}", "exceeds 100000000"},
      {"header of length 0", length_only(0), "does not start with '{'"},
      {"header starts with a space", raw_file(" {}", 0), "does not start with '{'"},
      {"header is a list", raw_file("[]", 0), "does not start with '{'"},
      {"not JSON", raw_file("{\"w\":", 0), "not valid JSON"},
      {"text after the header", raw_file("{} x", 0), "not valid JSON"},
      {"not UTF-8", raw_file("{\"\xff\":1}", 0), "not valid JSON"},
      {"duplicate tensor", raw_file(R"({"w":{)" + two + R"([0,2]},"w":{)" + two + R"([0,2]}})", 2),
       "appears twice", "w"},
      {"duplicate field", one(R"({"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]})", 0),
       "appears twice"},
      {"number too large", one(R"({"dtype":"U8","shape":[1e999],"data_offsets":[0,0]})", 0),
       "too large"},
      {"entry is a number", one("3", 0), "not an object", "w"},
      {"no dtype", one(R"({"shape":[0],"data_offsets":[0,0]})", 0), "lacks 'dtype'", "w"},
      {"no shape", one(R"({"dtype":"U8","data_offsets":[0,0]})", 0), "lacks 'shape'", "w"},
      {"no offsets", one(R"({"dtype":"U8","shape":[0]})", 0), "lacks 'data_offsets'", "w"},
      {"dtype is a number", one(R"({"dtype":8,"shape":[0],"data_offsets":[0,0]})", 0),
       "dtype is not text", "w"},
      {"unknown dtype", one(R"({"dtype":"F7","shape":[0],"data_offsets":[0,0]})", 0),
       "unknown dtype 'F7'", "w"},
      {"shape is text", one(R"({"dtype":"U8","shape":"2","data_offsets":[0,2]})", 2),
       "shape is not a list", "w"},
      {"negative size", one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,0]})", 0),
       "shape holds -1", "w"},
      {"fractional size", one(R"({"dtype":"U8","shape":[1.5],"data_offsets":[0,0]})", 0),
       "shape holds 1.5", "w"},
      {"size of 2^63",
       one(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]})", 0),
       "shape holds 9223372036854775808", "w"},
      {"count overflows",
       one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})", 0),
       "overflows", "w"},
      {"bytes overflow",
       one(R"({"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]})", 0), "overflows",
       "w"},
      {"offsets of three", one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2,2]})", 2),
       "not a pair", "w"},
      {"negative offset", one(R"({"dtype":"U8","shape":[2],"data_offsets":[-2,0]})", 2),
       "not a pair", "w"},
      {"offsets reversed", one(R"({"dtype":"U8","shape":[2],"data_offsets":[2,0]})", 2),
       "end before they begin", "w"},
      {"range shorter than the shape",
       one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), "needs 8", "w"},
      {"range longer than the shape", one(R"({"dtype":"U8","shape":[],"data_offsets":[0,2]})", 2),
       "needs 1", "w"},
      {"data truncated", one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})", 1), "truncated",
       "w"},
      {"bytes after the data", one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})", 3),
       "belong to no tensor"},
      {"data without tensors", raw_file("{}", 1), "belong to no tensor"},
      {"hole at the start", one(R"({"dtype":"U8","shape":[2],"data_offsets":[1,3]})", 3), "hole",
       "w"},
      {"hole", raw_file(R"({"v":{)" + two + R"([0,2]},"w":{)" + two + R"([3,5]}})", 5), "hole",
       "w"},
      {"overlap", raw_file(R"({"v":{)" + two + R"([0,2]},"w":{)" + two + R"([1,3]}})", 3),
       "overlap", "w"},
      {"same range twice", raw_file(R"({"v":{)" + two + R"([0,2]},"w":{)" + two + R"([0,2]}})", 2),
       "overlap", "w"},
      {"metadata is a list", raw_file(R"({"__metadata__":[]})", 0), "not an object",
       "__metadata__"},
      {"metadata holds a number", raw_file(R"({"__metadata__":{"a":1}})", 0), "'a' is not text",
       "__metadata__"},
  };
  const test::TempFolder folder;
  for (const Malformed& bad : cases) {
    SCOPED_TRACE(bad.name);
    const auto file = folder / "bad.safetensors";
    test::write_file(file, bad.bytes);
    D2C_EXPECT_ERROR(Reader{file}, InputError, "bad.safetensors", bad.reason, bad.tensor);
  }
}

TEST(Reader, RefusesWhatIsNoRegularFile) {
  const test::TempFolder folder;
  D2C_EXPECT_ERROR(Reader{folder / "absent"}, IoError, "absent", "cannot be opened");
  D2C_EXPECT_ERROR(Reader{folder.path()}, InputError, "is a folder");
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  D2C_EXPECT_ERROR(Reader{pipe}, InputError, "not a regular file");
}

TEST(Reader, AcceptsEmptyAndScalarTensorsPaddingMetadataAndAnyOrder) {
  const test::TempFolder folder;
  const auto file = folder / "x.safetensors";
  test::write_file(file, raw_file(R"({"z":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                                  R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[3,3]},)"
                                  R"("__metadata__":{"format":"pt"},)"
                                  R"("a":{"dtype":"F32","shape":[],"data_offsets":[3,7]}}   )",
                                  7));
  const Reader reader(file);
  EXPECT_EQ(reader.file(), file);
  EXPECT_EQ(reader.tensors().size(), 3U);
  EXPECT_EQ(reader.matrix("none").cols(), 7);
  EXPECT_EQ(reader.bytes("a").size(), 4U);
  EXPECT_EQ(reader.bytes("z").size(), 3U);
  test::write_file(file, raw_file("{}", 0));
  EXPECT_TRUE(Reader(file).tensors().empty());
}

TEST(Reader, RefusesLookUpsThatDoNotFitTheTensor) {
  const test::TempFolder folder;
  const auto file = folder / "x.safetensors";
  test::write_file(file, raw_file(R"({"i":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},)"
                                  R"("v":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
                                  16));
  const Reader reader(file);
  D2C_EXPECT_ERROR((void)reader.info("w"), InputError, "x.safetensors", "w", "not in the file");
  D2C_EXPECT_ERROR((void)reader.bytes("w"), InputError, "not in the file");
  D2C_EXPECT_ERROR((void)reader.matrix("i"), InputError, "i", "has dtype I32");
  D2C_EXPECT_ERROR((void)reader.matrix("v"), InputError, "v", "has shape [2]", "2 dimensions");
  D2C_EXPECT_ERROR((void)reader.vector("i"), InputError, "has dtype I32");
}

TEST(Reader, NamesTheFirstValueThatIsNotFinite) {
  const test::TempFolder folder;
  const auto file = folder / "x.safetensors";
  // 1e300 in F64 is finite but becomes infinite as float; 0x7fc0 is NaN in BF16, little-endian.
  const double large = 1e300;
  std::string data(8, '\0');
  std::memcpy(data.data(), &large, 8);
  data += std::string("\x80\x3f\xc0\x7f\xc0\x7f\x80\x3f", 8);
  std::string bytes = raw_file(R"({"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                               R"("w":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]}})",
                               0);
  test::write_file(file, bytes + data);
  const Reader reader(file);
  D2C_EXPECT_ERROR((void)reader.matrix("w"), InputError, "x.safetensors", "w", "[0, 1]", "nan");
  D2C_EXPECT_ERROR((void)reader.vector("d"), InputError, "d", "[0]", "inf");
  std::vector<float> row(2);
  D2C_EXPECT_ERROR(reader.read_rows("w", 1, 1, row), InputError, "[1, 0]");
}

TEST(Reader, RowsAreThoseOfTheMatrix) {
  const test::TempFolder folder;
  std::vector<float> values(15);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 7.0F;
  const auto file = folder / "x.safetensors";
  write(file, std::vector<TensorToWrite>{{"w", DType::bf16, {5, 3}, values}});
  const Reader reader(file);
  const Matrix all = reader.matrix("w");
  std::vector<float> rows(6);
  reader.read_rows("w", 2, 2, rows);
  EXPECT_TRUE(std::ranges::equal(rows, all.values().subspan(6, 6)));
  reader.read_rows("w", 5, 0, {});
}

/// Calls everything that reads, so that a wrong range would be seen by the sanitizers.
void read_all(const std::filesystem::path& file) {
  const Reader reader(file);
  for (const auto& [name, info] : reader.tensors()) {
    ASSERT_EQ(info.end - info.begin, reader.bytes(name).size());
    if (info.shape.size() == 2) (void)reader.matrix(name);
    if (info.shape.size() == 1) (void)reader.vector(name);
  }
}

TEST(Reader, DamagedFilesAreReadOrRefusedButNeverCrash) {
  const test::TempFolder folder;
  const auto file = folder / "x.safetensors";
  const std::vector<float> values(12, 1.5F);
  write(file,
        std::vector<TensorToWrite>{{"layer.weight", DType::f32, {3, 4}, values},
                                   {"layer.bias", DType::f16, {12}, values},
                                   {"empty", DType::bf16, {0, 2}, {}}},
        {{"format", "pt"}});
  std::ifstream in(file, std::ios::binary);
  const std::string valid((std::istreambuf_iterator<char>(in)), {});
  const std::size_t header_end = valid.size() - 12 * 4 - 12 * 2;

  CounterRng rng(20240607, 0);
  int n_refused = 0;
  constexpr int n_trials = 1500;
  for (int trial = 0; trial < n_trials; ++trial) {
    std::string bytes = valid;
    const std::uint64_t n_flips = rng.below(4);
    for (std::uint64_t i = 0; i < n_flips; ++i) {
      char& byte = bytes[rng.below(header_end)];
      // Half of the damage swaps in characters of JSON, which get further than random bits.
      byte =
          rng.below(2) == 0 ? static_cast<char>(rng.below(256)) : "{}[]\",:0129-e."[rng.below(15)];
    }
    if (n_flips == 0) bytes.resize(rng.below(bytes.size()));
    test::write_file(file, bytes);
    try {
      read_all(file);
    } catch (const InputError& error) {
      ++n_refused;
      EXPECT_NE(std::string(error.what()).find("x.safetensors"), std::string::npos);
    }
  }
  EXPECT_GT(n_refused, n_trials / 2);
}

/// Opens every file below a folder. @return how many there are
int open_all(const std::filesystem::path& place) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
    if (entry.path().extension() != ".safetensors") continue;
    SCOPED_TRACE(entry.path());
    read_all(entry.path());
    ++count;
  }
  return count;
}

TEST(Reader, OpensEveryGoldenFile) { EXPECT_EQ(open_all(test::golden("")), 73); }

TEST(Reader, OpensEveryFileOfTrainedModelsAndAdapters) {
  D2C_SKIP_WITHOUT(test::shared("real"));
  EXPECT_GE(open_all(test::shared("real")), 40);
}

}  // namespace
}  // namespace d2c::safetensors
