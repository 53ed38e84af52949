#include "d2c/core/input_file.hpp"

#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::safetensors {
namespace {

using test::TempFolder;
using test::write_file;

std::string text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(InputFile, ReadsAnyRangeInAnyOrder) {
  const TempFolder folder;
  write_file(folder / "file", "0123456789");
  InputFile first(folder / "file");
  const InputFile file = std::move(first);
  EXPECT_EQ(file.size(), 10U);
  EXPECT_EQ(text(file.read(7, 3)), "789");
  EXPECT_EQ(text(file.read(0, 10)), "0123456789");
  EXPECT_EQ(text(file.read(10, 0)), "");
}

TEST(InputFile, RefusesWhatIsNotThere) {
  const TempFolder folder;
  write_file(folder / "file", "0123456789");
  const InputFile file(folder / "file");
  D2C_EXPECT_ERROR(static_cast<void>(file.read(8, 3)), InputError, "holds 10 bytes", "truncated");
  D2C_EXPECT_ERROR(static_cast<void>(file.read(~std::uint64_t{0}, 2)), InputError, "holds 10");
  D2C_EXPECT_ERROR(InputFile(folder / "absent"), IoError, "cannot be opened");
  D2C_EXPECT_ERROR(InputFile(folder.path()), InputError, "is a folder");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  D2C_EXPECT_ERROR(InputFile(folder / "pipe"), InputError, "is not a regular file");
}

TEST(InputFile, NoticesAFileThatShrinks) {
  const TempFolder folder;
  write_file(folder / "file", "0123456789");
  const InputFile file(folder / "file");
  std::filesystem::resize_file(folder / "file", 4);
  D2C_EXPECT_ERROR(static_cast<void>(file.read(2, 5)), InputError, "ends at byte 4");
}

}  // namespace
}  // namespace d2c::safetensors
