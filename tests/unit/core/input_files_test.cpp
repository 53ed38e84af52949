#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "d2c/core/crash_report.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/folder_lock.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/mapped_file.hpp"
#include "d2c/core/pending.hpp"

#include "test_support.hpp"

namespace d2c {
namespace {

namespace fs = std::filesystem;

TEST(ReadText, RefusesAtOnceWhatIsNoRegularFile) {
  const test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink(folder / "b", folder / "a");
  fs::create_symlink(folder / "a", folder / "b");
  D2C_EXPECT_ERROR((void)read_text(folder / "pipe"), InputError, "is not a regular file");
  D2C_EXPECT_ERROR((void)read_text("/dev/zero"), InputError, "is not a regular file");
  D2C_EXPECT_ERROR((void)read_text(folder.path()), InputError, "is a folder");
  D2C_EXPECT_ERROR((void)read_text(folder / "a"), IoError, "cannot be opened");
  D2C_EXPECT_ERROR((void)read_text(folder / std::string(300, 'x')), IoError, "File name too long");
  D2C_EXPECT_ERROR((void)read_text(std::string("a\0b", 3)), InputError, "NUL");
}

TEST(ReadText, RefusesMoreThanItMayTake) {
  const test::TempFolder folder;
  test::write_file(folder / "a", "12345");
  EXPECT_EQ(read_text(folder / "a", 5), "12345");
  D2C_EXPECT_ERROR((void)read_text(folder / "a", 4), InputError, "has 5 bytes");
  fs::resize_file(folder / "a", std::uintmax_t{1} << 40);
  D2C_EXPECT_ERROR((void)read_text(folder / "a"), InputError, "bytes");
}

/// What a child process that runs `work` writes to standard error, and its exit code.
template <class Work>
std::pair<std::string, int> of_child(const Work& work) {
  const test::TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const int file = ::open((folder / "err").c_str(), O_CREAT | O_WRONLY, 0600);
    ::dup2(file, STDERR_FILENO);
    report_crashes("d2c");
    work();
    ::_exit(99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {read_text(folder / "err"), WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(CrashReport, NamesTheMappedFileThatWasTruncated) {
  const test::TempFolder folder;
  test::write_file(folder / "m", std::string(10000, 'x'));
  const auto [line, code] = of_child([&] {
    const MappedFile map(folder / "m");
    fs::resize_file(folder / "m", 0);
    volatile std::byte first = map.bytes()[5000];
    (void)first;
  });
  EXPECT_NE(line.find("/m: is shorter"), std::string::npos) << line;
  EXPECT_EQ(code, 3);
}

int deep(int n) {  // NOLINT(misc-no-recursion): that is the point
  volatile char page[4096] = {};
  page[0] = static_cast<char>(n);
  return n == 0 ? page[0] : deep(n - 1) + page[0];
}

TEST(CrashReport, TellsAFullStackFromOtherFaults) {
  const auto [stack, stack_code] = of_child([] { (void)deep(1 << 20); });
  EXPECT_NE(stack.find("the stack is full"), std::string::npos) << stack;
  EXPECT_EQ(stack_code, 1);
  const auto [division, code] = of_child([] { std::raise(SIGFPE); });
  EXPECT_NE(division.find("a division failed"), std::string::npos) << division;
  EXPECT_EQ(code, 1);
}

TEST(CrashReport, TellsThatALibraryHasGivenUp) {
  const auto [line, code] = of_child([] { std::abort(); });
  EXPECT_EQ(line.find("d2c: a library has given up"), 0U) << line;
  EXPECT_EQ(code, 1);
}
#endif

TEST(CrashReport, TellsWhatNobodyCatches) {
  const auto [line, code] =
      of_child([] { std::thread([] { throw InputError({"f"}, {"is wrong"}); }).join(); });
  EXPECT_NE(line.find("f: is wrong"), std::string::npos) << line;
  EXPECT_EQ(code, 3);
}

/// A process that ends after `work` without cleaning up.
template <class Work>
void in_killed_process(const Work& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
}

std::size_t n_entries(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(PendingFile, RemovesWhatADeadProcessLeftOfTheSamePlaceAlone) {
  const test::TempFolder folder;
  // The tag of a process is made once: this test makes one of the child's by hand.
  const fs::path a = folder / "a";
  std::string living;
  {
    PendingFile file(a);
    living = file.path().filename().string();
  }
  ASSERT_EQ(place_of_partial(living), "a");
  std::string dead = living;
  const std::size_t pid = dead.find("-" + std::to_string(::getpid()) + "-");
  ASSERT_NE(pid, std::string::npos);
  dead.replace(pid, std::to_string(::getpid()).size() + 2, "-4194304-");  // no process has it
  test::write_file(folder / dead, "x");
  test::write_file(folder / ("other" + dead.substr(1)), "x");
  test::write_file(folder / living, "x");
  std::string elsewhere = dead;
  elsewhere.insert(2, "x");  // another host
  test::write_file(folder / elsewhere, "x");
  // Once for each place and process: ask in another process.
  in_killed_process([&] { PendingFile((folder.path() / ".") / "a").publish(); });
  EXPECT_FALSE(fs::exists(folder / dead));
  EXPECT_TRUE(fs::exists(folder / living));
  EXPECT_TRUE(fs::exists(folder / elsewhere));
  EXPECT_EQ(n_entries(folder.path()), 4U);
}

TEST(PendingFile, NamesOfOtherFilesAreNoPartialNames) {
  for (const char* name : {"a.partial", "a.0123456789abcdef.partial", "a", ".h-1-2-3-4.partial",
                           "a.h-1-2-3.partial", "a.h-0-2-3-4.partial", "a.h-x-2-3-4.partial",
                           "a.x/y-1-2-3-4.partial", "a.x\ny-1-2-3-4.partial"}) {
    EXPECT_FALSE(place_of_partial(name)) << name;
  }
  EXPECT_EQ(place_of_partial("results.h5.no-de-17-88-ab-00ff.partial"), "results.h5");
}

TEST(FolderLock, KeepsOthersAwayAndIsGoneAfterwards) {
  const test::TempFolder folder;
  {
    const FolderLock lock(folder.path());
    D2C_EXPECT_ERROR(FolderLock(folder.path()), InputError, "is in use by process");
  }
  EXPECT_EQ(n_entries(folder.path()), 0U);
}

TEST(FolderLock, IsTakenOverFromAProcessThatWasKilled) {
  const test::TempFolder folder;
  in_killed_process([&] { new FolderLock(folder.path()); });
  EXPECT_EQ(n_entries(folder.path()), 1U);
  EXPECT_NO_THROW(FolderLock(folder.path()));
}

TEST(Outputs, AreNeverMadeThroughALink) {
  const test::TempFolder folder;
  test::write_file(folder / "precious", "precious");
  for (const char* name : {"text", "d2c.lock", "partial"}) {
    fs::create_symlink(folder / "precious", folder / name);
  }
  D2C_EXPECT_ERROR(write_text(folder / "text", "x"), InputError, "is a symbolic link");
  D2C_EXPECT_ERROR(FolderLock(folder.path()), IoError, "d2c.lock: cannot be made");
  EXPECT_THROW(WritableFile(folder / "partial", O_CREAT | O_NOFOLLOW, {folder / "partial"}),
               IoError);
  PendingFile(folder / "text").publish();  // replaces the link
  EXPECT_EQ(read_text(folder / "precious"), "precious");
}

TEST(WritableFile, RefusesAPipeThatNobodyReadsAndASecondNameOfAnotherFile) {
  const test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(WritableFile(folder / "pipe", O_CREAT, {folder / "pipe"}), IoError);
  test::write_file(folder / "precious", "precious");
  fs::create_hard_link(folder / "precious", folder / "twin");
  D2C_EXPECT_ERROR(WritableFile(folder / "twin", O_CREAT, {folder / "twin"}), InputError,
                   "not a file of its own");
}

}  // namespace
}  // namespace d2c
