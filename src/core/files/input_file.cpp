#include "d2c/core/input_file.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "d2c/core/activity.hpp"
#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"

namespace d2c {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, const char* what) {
  throw IoError({file}, {what, "it is needed as input", "check the path and its permissions"},
                system_reason(errno));
}

}  // namespace

InputFile::InputFile(std::filesystem::path file) : file_(std::move(file)) {
  if (file_.native().find('\0') != std::string::npos) {
    throw InputError({file_},
                     {"has a NUL byte in its name", "no file is called so", "correct the path"});
  }
  // O_NONBLOCK: opening a named pipe must not wait for a writer; it is refused below.
  descriptor_ = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) refuse(file_, "cannot be opened");
  examine();
}

InputFile::InputFile(std::filesystem::path file, int descriptor)
    : file_(std::move(file)), descriptor_(descriptor) {
  examine();
}

void InputFile::examine() {
  struct stat status {};
  const bool examined = ::fstat(descriptor_, &status) == 0;
  if (examined && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  const int error = errno;
  ::close(std::exchange(descriptor_, -1));
  errno = error;
  if (!examined) refuse(file_, "cannot be examined");
  throw InputError({file_, {}}, {S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file",
                                 "a file is needed here", "check the path"});
}

bool is_present(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(file, ignored));
}

std::uint32_t crc32(const InputFile& file, std::uint64_t begin, std::uint64_t end,
                    std::uint32_t before) {
  std::vector<std::byte> block(1 << 20);
  while (begin < end) {
    const auto part = std::span(block).first(std::min<std::uint64_t>(end - begin, block.size()));
    file.read(begin, part);
    before = crc32(part, before);
    begin += part.size();
  }
  return before;
}

std::string read_text(const std::filesystem::path& file, std::uint64_t most) {
  const Activity activity("reading", file);
  const InputFile input(file);
  if (input.size() > most) {
    throw InputError({file}, {fmt::format("has {} bytes", input.size()),
                              fmt::format("no more than {} are read of such a file", most),
                              "check that this is the right file, or make several of it"});
  }
  std::string text(static_cast<std::size_t>(input.size()), '\0');
  input.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : file_(std::move(other.file_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

void InputFile::read(std::uint64_t begin, std::span<std::byte> target) const {
  while (!target.empty()) {
    // A single read is limited to 2 GiB.
    const std::size_t count = std::min(target.size(), std::size_t{1} << 30);
    const ssize_t got = ::pread(descriptor_, target.data(), count, static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(file_, "cannot be read");
    if (got == 0) {
      throw InputError({file_, {}}, {fmt::format("ends at byte {}", begin),
                                     fmt::format("{} more bytes are needed", target.size()),
                                     "the file was truncated: restore it"});
    }
    begin += static_cast<std::uint64_t>(got);
    target = target.subspan(static_cast<std::size_t>(got));
  }
}

std::vector<std::byte> InputFile::read(std::uint64_t begin, std::uint64_t bytes) const {
  if (begin > size_ || bytes > size_ - begin) {
    throw InputError({file_, {}}, {fmt::format("holds {} bytes", size_),
                                   fmt::format("{} bytes from {} on are needed", bytes, begin),
                                   "the file was truncated: restore it"});
  }
  std::vector<std::byte> content(bytes);
  read(begin, content);
  return content;
}

}  // namespace d2c
