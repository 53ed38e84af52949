#include "d2c/core/folder_lock.hpp"

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "d2c/core/error.hpp"
#include "d2c/core/utc.hpp"

#include "files/owner.hpp"

namespace d2c {
namespace {

[[noreturn]] void refuse_lock(const std::filesystem::path& file, int error) {
  throw IoError({file},
                {"cannot be made", "it keeps other jobs out of the folder",
                 "check the path, its permissions and the free space"},
                system_reason(error));
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) : file_(folder / "d2c.lock") {
  do {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ =
        ::open(file_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (descriptor_ < 0) refuse_lock(file_, errno);
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(std::exchange(descriptor_, -1));
      refuse_lock(file_, EINVAL);
    }
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    try {
      if (!locked) expect_free(errno != EWOULDBLOCK);
    } catch (...) {
      ::close(std::exchange(descriptor_, -1));
      throw;
    }
    // The one before may have removed the file between the two calls.
  } while (!is_in_place());
  struct stat status {};
  was_abandoned_ = ::fstat(descriptor_, &status) == 0 && status.st_size > 0;
  const std::string text = fmt::format("{} {}\n", own_tag(), utc_now());
  const bool written = ::ftruncate(descriptor_, 0) == 0 &&
                       ::pwrite(descriptor_, text.data(), text.size(), 0) == std::ssize(text);
  if (written) return;
  const int error = errno;
  ::close(std::exchange(descriptor_, -1));
  refuse_lock(file_, error);
}

FolderLock::~FolderLock() {
  if (is_in_place()) ::unlink(file_.c_str());
  ::close(descriptor_);
}

bool FolderLock::is_in_place() const {
  struct stat own {};
  struct stat there {};
  return ::fstat(descriptor_, &own) == 0 && ::lstat(file_.c_str(), &there) == 0 &&
         own.st_ino == there.st_ino && own.st_dev == there.st_dev;
}

void FolderLock::expect_free(bool no_locks) const {
  std::array<char, 256> bytes{};
  const ssize_t size = ::pread(descriptor_, bytes.data(), bytes.size(), 0);
  const std::string text(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const std::string tag = text.substr(0, text.find(' '));
  const std::string since =
      text.size() > tag.size() ? text.substr(tag.size() + 1, text.find('\n') - tag.size() - 1) : "";
  if (no_locks && !is_alive(tag)) return;
  throw InputError({file_.parent_path()},
                   {fmt::format("is in use by {}{}{}", describe_owner(tag),
                                since.empty() ? "" : " since ", since),
                    "two jobs in one folder would replace each other's files",
                    "wait until that job has ended, or choose another --output"});
}

}  // namespace d2c
