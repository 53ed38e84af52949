#include "output/output_folder.hpp"

#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// Every file below a folder, with its content.
std::map<fs::path, std::string> everything(const fs::path& folder) {
  std::map<fs::path, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    files[entry.path()] = entry.is_regular_file() ? json::read_text(entry.path()) : "";
  }
  return files;
}

json::Json good_note() {
  return {{"results", "results.h5.h-1-2-3-1.partial"},
          {"merged", "merged.h-1-2-3-0a.partial"},
          {"old_merged", "merged.old"},
          {"texts", {"manifest.json.h-1-2-3-2c.partial"}}};
}

/// Notes with one value that no job writes.
std::vector<std::string> bad_notes() {
  const std::vector<json::Json> names{"..",
                                      ".",
                                      "",
                                      "examples",
                                      "/",
                                      "../x",
                                      "merged",
                                      "results.h5",
                                      "merged..partial",
                                      "results.h5.a/b-1-2-3-4.partial",
                                      "results.h5..partial",
                                      "merged.../.partial",
                                      "manifest.json",
                                      "merged.old.",
                                      "merged.old.x",
                                      "merged.old.1/../examples",
                                      std::string("merged.old\0", 11),
                                      1,
                                      1.5,
                                      true,
                                      json::Json::object(),
                                      json::Json::array({"merged.old"})};
  std::vector<std::string> notes{"[]", "1", "null", R"("merged.old")", "", "{"};
  for (const char* key : {"results", "merged", "old_merged", "texts"}) {
    json::Json note = good_note();
    note.erase(key);
    notes.push_back(note.dump());
    for (const json::Json& name : names) {
      note[key] = name;
      notes.push_back(note.dump());
    }
    if (std::string(key) == "merged") continue;
    note[key] = nullptr;
    notes.push_back(note.dump());
  }
  for (const json::Json& name : names) {
    json::Json note = good_note();
    note["texts"] = json::Json::array({name});
    notes.push_back(note.dump());
  }
  for (const char* name : {"notes.txt.h-1-2-3-2c.partial", "routing.json"}) {
    json::Json note = good_note();
    note["texts"] = json::Json::array({name});
    notes.push_back(note.dump());
  }
  return notes;
}

TEST(FinishPublishing, ANoteThatNoJobHasWrittenRemovesNothing) {
  const test::TempFolder folder;
  const fs::path output = folder / "job/out";
  for (const char* mine : {"examples", "..", "merged.mine", "merged.h-1-2-3-0a.partial"}) {
    fs::create_directories(output / mine);
    test::write_file(output / mine / "mine", "mine");
  }
  test::write_file(output / "results.h5.h-1-2-3-1.partial", "partial");
  for (const std::string& note : bad_notes()) {
    SCOPED_TRACE(note);
    test::write_file(output / "d2c-publishing.json", note);
    const auto before = everything(folder / "job");
    D2C_EXPECT_ERROR(finish_publishing(output), InputError, "d2c-publishing.json");
    ASSERT_EQ(everything(folder / "job"), before);
  }
}

TEST(FinishPublishing, PutsInPlaceWhatANoteNames) {
  const test::TempFolder folder;
  fs::create_directories(folder / "merged");
  test::write_file(folder / "merged" / "adapter", "old");
  test::write_file(folder / "results.h5", "old");
  fs::create_directories(folder / "merged.h-1-2-3-0a.partial");
  for (const char* name : {"merged.h-1-2-3-0a.partial/adapter", "results.h5.h-1-2-3-1.partial",
                           "manifest.json.h-1-2-3-2c.partial"}) {
    test::write_file(folder / name, "new");
  }
  test::write_file(folder / "d2c-publishing.json", good_note().dump());
  finish_publishing(folder.path());
  const fs::path& root = folder.path();
  EXPECT_EQ(everything(root), (std::map<fs::path, std::string>{{root / "merged", ""},
                                                               {root / "merged/adapter", "new"},
                                                               {root / "results.h5", "new"},
                                                               {root / "manifest.json", "new"}}));
}

}  // namespace
}  // namespace d2c::job
