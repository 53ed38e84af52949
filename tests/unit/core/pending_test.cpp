#include "d2c/core/pending.hpp"

#include <csignal>
#include <set>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST(PendingFile, AppearsWhenItIsWholeAndReplacesWhatWasThere) {
  const test::TempFolder folder;
  test::write_file(folder / "a", "old");
  PendingFile file(folder / "a");
  file.append("new ");
  file.append("content");
  EXPECT_EQ(json::read_text(folder / "a"), "old");
  EXPECT_EQ(file.path().parent_path(), folder.path());
  file.publish();
  EXPECT_EQ(json::read_text(folder / "a"), "new content");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"a"});
}

TEST(PendingFile, TakesWhatOthersWroteAtItsPath) {
  const test::TempFolder folder;
  PendingFile file(folder / "a");
  test::write_file(file.path(), "theirs, ");
  file.append("ours");
  file.publish();
  EXPECT_EQ(json::read_text(folder / "a"), "theirs, ours");
}

TEST(PendingFile, RefusesWhatIsNotOnTheDiskAsItWasWritten) {
  const test::TempFolder folder;
  PendingFile file(folder / "a");
  file.append("content");
  EXPECT_NO_THROW(file.sync());
  for (const char* other : {"con", "conTent"}) {
    test::write_file(file.path(), other);
    D2C_EXPECT_ERROR(file.sync(), IoError, "what was written is not what can be read");
    D2C_EXPECT_ERROR(file.publish(), IoError, "what was written is not what can be read");
  }
  EXPECT_FALSE(fs::exists(folder / "a"));
}

TEST(PendingFile, LeavesNothingUnlessPublishedOrKept) {
  const test::TempFolder folder;
  { PendingFile(folder / "a").append("x"); }
  EXPECT_TRUE(names_in(folder.path()).empty());
  fs::path kept;
  {
    PendingFile file(folder / "a");
    file.keep();
    kept = file.path();
  }
  EXPECT_TRUE(fs::exists(kept));
}

TEST(PendingFile, SeveralOfOnePlaceDoNotMeet) {
  const test::TempFolder folder;
  PendingFile first(folder / "a");
  PendingFile second(folder / "a");
  first.append("first");
  second.append("second");
  second.publish();
  first.publish();
  EXPECT_EQ(json::read_text(folder / "a"), "first");
}

TEST(PendingFile, NamesThePlaceAndTheReasonOfTheSystem) {
  const test::TempFolder folder;
  D2C_EXPECT_ERROR(PendingFile(folder / "absent/a"), IoError,
                   "absent/a: cannot be written: No such");
  fs::create_directories(folder / "b/c");
  PendingFile onto_a_folder(folder / "b");
  D2C_EXPECT_ERROR(onto_a_folder.publish(), IoError, "b: cannot be written: Is a directory");
}

TEST(PendingFile, AFullDiskIsAnError) {
  const test::TempFolder folder;
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit tight{1000, limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  D2C_EXPECT_ERROR(write_text(folder / "a", std::string(2000, 'x')), IoError,
                   "a: cannot be written");
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(PendingFolder, AppearsWithAllThatIsInIt) {
  const test::TempFolder folder;
  PendingFolder pending(folder / "above/a/");
  write_text(pending.path() / "file", "content");
  EXPECT_FALSE(fs::exists(folder / "above/a"));
  pending.publish();
  EXPECT_EQ(json::read_text(folder / "above/a/file"), "content");
  EXPECT_EQ(names_in(folder / "above"), std::set<std::string>{"a"});
}

TEST(PendingFolder, ReplacesNoFolderThatHoldsSomething) {
  const test::TempFolder folder;
  test::write_file(folder / "a/file", "");
  PendingFolder pending(folder / "a");
  D2C_EXPECT_ERROR(pending.publish(), IoError, "a: cannot be written");
}

TEST(PendingFolder, LeavesNothingUnlessPublished) {
  const test::TempFolder folder;
  { write_text(PendingFolder(folder / "a").path() / "file", ""); }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(MakeFolder, NamesTheFolderThatCannotBe) {
  const test::TempFolder folder;
  make_folder(folder / "a/b");
  EXPECT_TRUE(fs::is_directory(folder / "a/b"));
  test::write_file(folder / "file", "");
  D2C_EXPECT_ERROR(make_folder(folder / "file/c"), IoError, "file/c: cannot be made: Not a dir");
}

TEST(WritableFile, GoesOnWithAFileOfItsOwnAlone) {
  const test::TempFolder folder;
  const auto open = [&](const char* name) {
    return WritableFile(folder / name, O_CREAT | O_NOFOLLOW, {folder / name}).size();
  };
  EXPECT_EQ(open("new"), 0U);
  test::write_file(folder / "old", "content");
  EXPECT_EQ(open("old"), 7U);
  fs::create_hard_link(folder / "old", folder / "second name");
  fs::create_symlink("new", folder / "link");
  test::write_file(folder / "of another", "");
  EXPECT_THROW(open("second name"), InputError);
  EXPECT_THROW(open("link"), IoError);
  if (::chown((folder / "of another").c_str(), 12345, 12345) == 0) {  // as root
    D2C_EXPECT_ERROR(open("of another"), InputError, "somebody else's");
  }
}

TEST(WriteText, RefusesAtOnceWhatItWouldRefuseInTheEnd) {
  const test::TempFolder folder;
  fs::create_directory(folder / "folder");
  fs::create_symlink(folder / "nothing", folder / "link");
  fs::create_symlink(folder / "loop", folder / "loop");
  for (const char* name : {"folder", "link", "loop"}) {
    EXPECT_THROW(expect_place_for_text(folder / name), InputError) << name;
    EXPECT_THROW(write_text(folder / name, "text"), InputError) << name;
  }
  const fs::path no_place = folder / "none" / "a";
  const fs::path long_name = folder / std::string(250, 'a');
  for (const fs::path& place : {no_place, long_name}) {
    EXPECT_THROW(expect_place_for_text(place), IoError) << place;
  }
  expect_place_for_text(folder / "a");
  expect_place_for_text("/dev/null");
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"folder", "link", "loop"}));
}

TEST(WriteText, WritesToADeviceThatIsThere) {
  EXPECT_NO_THROW(write_text("/dev/null", "text"));
  D2C_EXPECT_ERROR(write_text("/dev/full", "text"), IoError, "No space left on device");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace d2c
