#include "d2c/core/file_texts.hpp"

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c {
namespace {

TEST(FileTexts, AnswersFromMemoryWhatIsKnownAndReadsTheRest) {
  const test::TempFolder folder;
  test::write_file(folder / "both", "disk");
  test::write_file(folder / "disk", "disk");
  FileTexts texts({{folder / "both", "memory"}, {folder / "memory", "memory"}});
  EXPECT_EQ(texts.read(folder / "both"), "memory");
  EXPECT_EQ(texts.read(folder / "memory"), "memory");
  EXPECT_EQ(texts.read(folder / "disk"), "disk");
  texts.forget(folder / "both");
  EXPECT_EQ(texts.read(folder / "both"), "disk");
}

TEST(FileTexts, KnowsWhatIsNotThere) {
  const test::TempFolder folder;
  test::write_file(folder / "later", "");
  const FileTexts texts({{folder / "later", std::nullopt}});
  EXPECT_FALSE(texts.exists(folder / "later"));
  EXPECT_FALSE(texts.exists(folder / "never"));
  EXPECT_TRUE(FileTexts().exists(folder / "later"));
  D2C_EXPECT_ERROR((void)texts.read(folder / "never"), IoError, "never", "No such file");
}

}  // namespace
}  // namespace d2c
