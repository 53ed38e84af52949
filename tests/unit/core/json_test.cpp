#include "d2c/core/json.hpp"

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::json {
namespace {

TEST(Json, NamesFileLineAndByteOfASyntaxError) {
  D2C_EXPECT_ERROR((void)parse("{\"a\": }", "x.jsonl", 3), InputError, "x.jsonl:3", "byte 7");
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  D2C_EXPECT_ERROR((void)parse(R"({"a": {"b": 1, "b": 2}})", "x.json"), InputError, "b",
                   "appears twice");
  EXPECT_NO_THROW((void)parse(R"([{"a": 1}, {"a": 2}])", "x.json"));
}

TEST(Json, RefusesTrailingTextAndInvalidUtf8) {
  EXPECT_THROW((void)parse("1 2", "x.json"), InputError);
  EXPECT_THROW((void)parse("\"\xff\"", "x.json"), InputError);
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
