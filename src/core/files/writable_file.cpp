#include "d2c/core/writable_file.hpp"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace d2c {

WritableFile::WritableFile(std::filesystem::path file, int flags, Refusal refusal)
    : path_(std::move(file)), refusal_(std::move(refusal)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666);
  if (descriptor_ < 0) refuse();
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
