#include "d2c/results/library.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

#include "test_support.hpp"

namespace d2c::results {
namespace {

using d2c::test::TempFolder;
using d2c::test::write_file;

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// An index of adapters that are all alike, a page each.
LibraryIndex example_index(std::size_t n, std::size_t n_modules = 3) {
  LibraryIndex index;
  index.version = "1.2.3";
  index.git_commit = "abc";
  index.created_utc = "2026-01-02T03:04:05Z";
  for (std::size_t m = 0; m < n_modules; ++m) {
    index.module.push_back("model.layers." + std::to_string(m) + ".self_attn.q_proj");
    index.d_out.push_back(64);
    index.d_in.push_back(32 + static_cast<std::int64_t>(m));
  }
  for (std::size_t i = 0; i < n; ++i) {
    index.name.push_back("adapter-" + std::to_string(i));
    index.source.push_back("/somewhere/adapter-" + std::to_string(i));
    index.base_model.push_back(i % 2 == 0 ? "" : "größer/model");
    index.dtype.emplace_back("BF16");
    index.begin.push_back(4096 * i);
    index.config_bytes.push_back(100);
    index.tensors_begin.push_back(128);
    index.tensors_bytes.push_back(3000 + i % 900);
    index.checksum.push_back(i * 77);
    index.fingerprint.push_back(~std::uint64_t{i});
    for (std::size_t m = 0; m < n_modules; ++m) index.rank.push_back(static_cast<int>((i + m) % 9));
  }
  index.data_bytes = 4096 * n;
  index.data_begin = library_data_begin();
  return index;
}

std::string write_records(const std::filesystem::path& file, const LibraryIndex& index) {
  CounterRng rng(5, 0);
  std::string records(index.data_bytes, '\0');
  for (char& byte : records) byte = static_cast<char>(rng.below(256));
  write_file(file, std::string(library_data_begin(), '\0') + records);
  return records;
}

void expect_equal(const LibraryIndex& a, const LibraryIndex& b) {
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.git_commit, b.git_commit);
  EXPECT_EQ(a.created_utc, b.created_utc);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.base_model, b.base_model);
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.begin, b.begin);
  EXPECT_EQ(a.config_bytes, b.config_bytes);
  EXPECT_EQ(a.tensors_begin, b.tensors_begin);
  EXPECT_EQ(a.tensors_bytes, b.tensors_bytes);
  EXPECT_EQ(a.checksum, b.checksum);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.module, b.module);
  EXPECT_EQ(a.d_out, b.d_out);
  EXPECT_EQ(a.d_in, b.d_in);
  EXPECT_EQ(a.rank, b.rank);
  EXPECT_EQ(a.data_begin, b.data_begin);
  EXPECT_EQ(a.data_bytes, b.data_bytes);
}

TEST(Library, ReturnsItsIndexAndLeavesTheRecordsAlone) {
  for (const std::size_t n : {1, 2, 40, 700}) {
    const TempFolder folder;
    const auto file = folder / "library.h5";
    const LibraryIndex index = example_index(n);
    const std::string records = write_records(file, index);
    finish_library(WritableFile(file), index);
    expect_equal(read_library(file), index);
    EXPECT_EQ(content(file).substr(library_data_begin(), records.size()), records);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  }
}

TEST(Library, CanBeFinishedAgainAfterMoreRecords) {
  const TempFolder folder;
  const auto file = folder / "library.h5";
  write_records(file, example_index(40));
  finish_library(WritableFile(file), example_index(3));
  finish_library(WritableFile(file), example_index(40));
  expect_equal(read_library(file), example_index(40));
}

/// The place of the records is known before their number is: no size of a library may change it.
TEST(Library, MayBeLarge) {
  const TempFolder folder;
  const auto file = folder / "library.h5";
  LibraryIndex index = example_index(2);
  index.begin[1] = std::uint64_t{40} << 30;
  index.data_bytes = index.begin[1] + 4096;
  write_file(file, "");
  std::filesystem::resize_file(file, index.data_bytes);
  finish_library(WritableFile(file), index);
  expect_equal(read_library(file), index);
}

TEST(Library, NoDamageToTheIndexCrashesOrGoesUnseen) {
  const TempFolder folder;
  const auto file = folder / "library.h5";
  const LibraryIndex index = example_index(30);
  write_records(file, index);
  finish_library(WritableFile(file), index);
  const std::string whole = content(file);
  const std::uint64_t hole_end = index.data_begin + index.data_bytes;
  CounterRng rng(11, 0);
  for (int trial = 0; trial < 3000; ++trial) {
    std::string damaged = whole;
    for (std::uint64_t flips = 1 + rng.below(3); flips > 0; --flips) {
      const std::uint64_t outside = rng.below(whole.size() - index.data_bytes);
      const std::uint64_t at = outside < index.data_begin ? outside : outside + index.data_bytes;
      ASSERT_TRUE(at < index.data_begin || at >= hole_end);
      damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 + rng.below(255)));
    }
    if (damaged == whole) continue;
    write_file(file, damaged);
    EXPECT_THROW(static_cast<void>(read_library(file)), InputError) << "trial " << trial;
  }
}

TEST(Library, NoTruncationCrashesOrGoesUnseen) {
  const TempFolder folder;
  const auto file = folder / "library.h5";
  write_records(file, example_index(5));
  finish_library(WritableFile(file), example_index(5));
  const std::string whole = content(file);
  CounterRng rng(12, 0);
  for (int trial = 0; trial < 500; ++trial) {
    write_file(file, whole.substr(0, rng.below(whole.size())));
    EXPECT_THROW(static_cast<void>(read_library(file)), InputError);
    // What stands behind a library hides its seal.
    write_file(file, whole + std::string(1 + rng.below(100), 'x'));
    EXPECT_THROW(static_cast<void>(read_library(file)), InputError);
  }
}

TEST(Library, RefusesAnIndexThatPointsOutsideTheData) {
  const auto refused = [](auto change) {
    const TempFolder folder;
    const auto file = folder / "library.h5";
    LibraryIndex index = example_index(3);
    write_records(file, index);
    change(index);
    finish_library(WritableFile(file), index);
    D2C_EXPECT_ERROR(static_cast<void>(read_library(file)), InputError, "library.h5");
  };
  refused([](LibraryIndex& index) { index.begin[2] += 4096; });
  refused([](LibraryIndex& index) { index.tensors_bytes[0] = ~std::uint64_t{0}; });
  refused([](LibraryIndex& index) { index.config_bytes[1] = 129; });
  refused([](LibraryIndex& index) { index.name[1] = index.name[0]; });
}

}  // namespace
}  // namespace d2c::results
