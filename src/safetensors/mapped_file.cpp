#include "mapped_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c::safetensors {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void refuse(const std::filesystem::path& file, const char* what) {
  throw InputError({file, {}}, {fmt::format("{}: {}", what, std::strerror(errno)),
                                "it is needed as input", "check the path and its permissions"});
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer; it is refused below.
  const Descriptor descriptor{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.fd < 0) refuse(file, "cannot be opened");
  struct stat status {};
  if (::fstat(descriptor.fd, &status) != 0) refuse(file, "cannot be examined");
  if (!S_ISREG(status.st_mode)) {
    throw InputError({file, {}}, {S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file",
                                  "a safetensors file is needed here", "check the path"});
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;  // mmap refuses length 0
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.fd, 0);
  if (start == MAP_FAILED) refuse(file, "cannot be mapped into memory");
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace d2c::safetensors
