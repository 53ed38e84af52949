#include "d2c/eval/manifest.hpp"

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c::eval {
namespace {

Manifest with_names(const std::vector<std::string>& names) {
  json::Json manifest{{"model", "m"}, {"tasks", json::Json::array()}};
  for (const std::string& name : names) {
    manifest["tasks"].push_back({{"name", name}, {"adapter", "a"}, {"examples", "x.jsonl"}});
  }
  return parse_manifest(manifest.dump(), "manifest.json");
}

TEST(Manifest, NamesTheTaskThatIsNoObject) {
  D2C_EXPECT_ERROR((void)parse_manifest(R"({"model": "m", "tasks": [3]})", "m.json"), InputError,
                   "m.json: tasks[0]: is not an object");
}

TEST(Manifest, RefusesPathsThatANulWouldCutShort) {
  D2C_EXPECT_ERROR(
      (void)parse_manifest(
          R"({"model": "m\u0000n", "tasks": [{"name": "t", "adapter": "a", "examples": "e"}]})",
          "m.json"),
      InputError, "m.json: model: has a NUL character");
}

TEST(Manifest, TakesNamesThatCanNameAFile) {
  for (const std::string& name :
       {std::string("a"), std::string("Übung 1.b"), std::string(249, 'x')})
    EXPECT_EQ(with_names({name}).tasks[0].name, name);
}

TEST(Manifest, RefusesNamesThatCannotNameAFileOrBreakATable) {
  using std::string_literals::operator""s;
  for (const std::string& name :
       {"a/b"s, "a | b"s, "a\nb"s, "a\0b"s, "\x7f"s, "."s, ".."s, ".a"s, std::string(250, 'x')}) {
    SCOPED_TRACE(name);
    D2C_EXPECT_ERROR(static_cast<void>(with_names({"good", name})), InputError, "tasks[1].name",
                     "files", "rename");
  }
  D2C_EXPECT_ERROR(static_cast<void>(with_names({"a", "a"})), InputError, "tasks[1].name", "'a'");
}

}  // namespace
}  // namespace d2c::eval
