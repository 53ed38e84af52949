#include "d2c/core/readable.hpp"

#include <gtest/gtest.h>

#include "d2c/core/error.hpp"

namespace d2c {
namespace {

TEST(Readable, LeavesTextsOfEveryScriptAsTheyAre) {
  for (const char* text : {"", "a_b.c-d", "größer 漢字 ελ", "\xE2\x96\x81word", "'\\n' | \"x\"",
                           "\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE"}) {
    EXPECT_EQ(readable(text), text);
    EXPECT_TRUE(is_readable(text));
  }
}

TEST(Readable, EscapesWhatMovesTheCursorOrForgesALine) {
  EXPECT_EQ(readable("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(readable("\x1b]0;x\x07"), "\\x1b]0;x\\x07");
  EXPECT_EQ(readable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(readable("\x7f\xC2\x9B"), "\\x7f\\u009b");
  EXPECT_EQ(readable("\xE2\x80\xA8"), "\\u2028");
}

TEST(Readable, EscapesMarksOfDirectionAndWhatIsNotSeen) {
  EXPECT_EQ(readable("a\xE2\x80\xAE"
                     "b"),
            "a\\u202eb");
  EXPECT_EQ(readable("\xE2\x81\xA6"), "\\u2066");
  EXPECT_EQ(readable("\xE2\x80\x8B\xEF\xBB\xBF"), "\\u200b\\ufeff");
  EXPECT_FALSE(is_readable("a\xE2\x80\xAE"));
}

TEST(Readable, EscapesBytesThatAreNoUtf8) {
  EXPECT_EQ(readable("a\xFFz"), "a\\xffz");
  EXPECT_EQ(readable("\xC0\x80"), "\\xc0\\x80");
  EXPECT_EQ(readable("\xED\xA0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(readable("\xE2\x80"), "\\xe2\\x80");
}

TEST(Readable, CutsTheMiddleAndKeepsWhole) {
  const std::string text = std::string(5000, 'a') + " is wrong";
  const std::string shown = readable(text, 100);
  EXPECT_LE(shown.size(), 110U);
  EXPECT_TRUE(shown.starts_with("aaaa"));
  EXPECT_TRUE(shown.ends_with(" is wrong"));
  EXPECT_NE(shown.find(" ... "), std::string::npos);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "漢";
  EXPECT_TRUE(is_readable(readable(many, 100)));
  EXPECT_LE(readable(std::string(1000, '\x1b'), 100).size(), 110U);
  EXPECT_LE(readable(std::string(100, '\x1b'), 100).size(), 110U);
}

TEST(Readable, IsDoneOnce) {
  const std::string once = readable("a\n\x1b\xFF");
  EXPECT_EQ(readable(once), once);
}

TEST(Error, IsReadableWhateverTheFilesHold) {
  const InputError error({"dir\n/f", "key\x1b[2J", 3}, {"is '\x07'", "\r", std::string(9000, 'x')});
  EXPECT_TRUE(is_readable(error.what()));
  EXPECT_LE(std::string_view(error.what()).size(), 800U);
}

}  // namespace
}  // namespace d2c
