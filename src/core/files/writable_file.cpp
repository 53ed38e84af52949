#include "d2c/core/writable_file.hpp"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace d2c {

WritableFile::WritableFile(std::filesystem::path file, int flags, Refusal refusal)
    : path_(std::move(file)), refusal_(std::move(refusal)) {
  if (path_.native().find('\0') != std::string::npos) {
    errno = EINVAL;
    refuse();
  }
  const auto try_open = [&](int with) {
    // A named pipe that nobody reads is an error, and not to be waited for.
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | with, 0666);
    return descriptor_ >= 0;
  };
  const bool makes = (flags & O_CREAT) != 0;
  const bool made = makes && try_open(flags | O_EXCL);
  const bool takes = !makes || ((flags & O_EXCL) == 0 && errno == EEXIST);
  if (!made && !(takes && try_open(flags & ~O_CREAT))) refuse();
  ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) & ~O_NONBLOCK);
  if (made || !makes) return;
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink <= 1 &&
      status.st_uid == ::geteuid()) {
    return;
  }
  ::close(std::exchange(descriptor_, -1));
  throw InputError({path_}, {"is there already, but is not a file of its own (a link, a device or "
                             "somebody else's)",
                             "what is written would go elsewhere", "remove it"});
}

WritableFile::~WritableFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t WritableFile::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) refuse();
  return static_cast<std::uint64_t>(status.st_size);
}

void WritableFile::write(std::uint64_t begin, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(begin));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse();
    begin += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void WritableFile::append(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void WritableFile::resize(std::uint64_t bytes) const {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) refuse();
}

void WritableFile::sync() const {
  if (::fsync(descriptor_) != 0) refuse();
}

void WritableFile::close() {
  if (::close(std::exchange(descriptor_, -1)) != 0) refuse();
}

void WritableFile::refuse() const {
  throw IoError({refusal_.shown_as}, refusal_.message, system_reason(errno));
}

}  // namespace d2c
