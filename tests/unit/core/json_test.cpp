#include "d2c/core/json.hpp"

#include <limits>
#include <optional>
#include <string>

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::json {
namespace {

TEST(Json, NamesFileLineAndByteOfASyntaxError) {
  D2C_EXPECT_ERROR((void)parse("{\"a\": }", "x.jsonl", 3), InputError, "x.jsonl:3", "byte 7");
}

TEST(Json, ReadsEveryKindOfValueAsTheParserAloneDoes) {
  for (const char* text :
       {"null", "true", "-3", "18446744073709551615", "1e-3", "12345678901234567890123",
        R"("\u00e9\n")", "[]", "{}", "\xEF\xBB\xBF [1]", R"([[1, [2, {"a": []}], 3], {}, "x"])",
        R"({"b": {"c": [null, {"d": 1}], "e": {}}, "a": [{}, false], "f": -0.0})"}) {
    EXPECT_EQ(parse(text, "x.json").dump(), Json::parse(text).dump());
  }
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  D2C_EXPECT_ERROR((void)parse(R"({"a": {"b": 1, "b": 2}})", "x.json"), InputError, "b",
                   "appears twice");
  EXPECT_NO_THROW((void)parse(R"([{"a": 1}, {"a": 2}])", "x.json"));
}

TEST(Json, RefusesTrailingTextAndInvalidUtf8) {
  EXPECT_THROW((void)parse("1 2", "x.json"), InputError);
  EXPECT_THROW((void)parse("\"\xff\"", "x.json"), InputError);
  using namespace std::string_view_literals;
  D2C_EXPECT_ERROR((void)parse("{}\0"sv, "x.json", 4), InputError, "x.json:4", "byte 3", "NUL");
  D2C_EXPECT_ERROR((void)parse("\0{}"sv, "x.json"), InputError, "x.json", "byte 1");
}

TEST(Json, IntegersAreThoseOf64BitsWithASign) {
  EXPECT_EQ(integer(Json::parse("-9223372036854775808")), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(integer(Json::parse("9223372036854775807")), std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"9223372036854775808", "18446744073709551616", "1.0", "\"1\"", "null"}) {
    EXPECT_EQ(integer(Json::parse(text)), std::nullopt) << text;
  }
}

TEST(Json, ANumberCanBeShownAsItIsWritten) {
  constexpr std::string_view text =
      R"({"a": [1, {"b": 2}, 12345678901234567890123], "c": {"a": -0.10}, "d~/": 1e2})";
  const auto written = [&](const char* place) {
    return number_as_written(text, Json::json_pointer(place));
  };
  EXPECT_EQ(written("/a/2"), "12345678901234567890123");
  EXPECT_EQ(written("/a/1/b"), "2");
  EXPECT_EQ(written("/c/a"), "-0.10");
  EXPECT_EQ(written("/d~0~1"), "1e2");
  EXPECT_EQ(written("/c"), "");
}

TEST(Json, RefusesNumbersThatFitNoDouble) {
  D2C_EXPECT_ERROR((void)parse("[1e999]", "x.json"), InputError, "x.json", "too large");
}

TEST(Json, RefusesNestingThatRecursionCouldNotHold) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  D2C_EXPECT_ERROR((void)parse(deep, "x.json"), InputError, "x.json", "nested deeper than");
}

TEST(Json, MissingFileAndFolderAreInputErrors) {
  const test::TempFolder folder;
  D2C_EXPECT_ERROR((void)read_file(folder / "absent.json"), IoError, "absent.json",
                   "cannot be opened");
  D2C_EXPECT_ERROR((void)read_file(folder.path()), InputError, "is a folder");
}

}  // namespace
}  // namespace d2c::json
