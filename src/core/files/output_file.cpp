#include "d2c/core/output_file.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file) {
  throw InputError({file, {}}, {fmt::format("cannot be written: {}", std::strerror(errno)), "",
                                "check the path, its permissions and the free space"});
}

/// Makes a rename in `folder` durable. Some file systems cannot; the data itself is safe by then.
void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  static_cast<void>(::fsync(fd));
  ::close(fd);
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path file)
    : file_(std::move(file)), temporary_(file_.string() + fmt::format(".tmp{}", ::getpid())) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) refuse(file_);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void OutputFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse(file_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void OutputFile::commit() {
  if (::fsync(fd_) != 0) refuse(file_);
  if (::rename(temporary_.c_str(), file_.c_str()) != 0) refuse(file_);
  ::close(std::exchange(fd_, -1));
  sync_folder(file_.parent_path());
}

}  // namespace d2c
