#include "d2c/core/mapped_file.hpp"

#include <cerrno>

#include <sys/mman.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"

namespace d2c {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const InputFile input(file);
  const auto size = static_cast<std::size_t>(input.size());
  if (size == 0) return;  // mmap refuses length 0
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, input.descriptor(), 0);
  if (start == MAP_FAILED) {
    throw IoError({file},
                  {"cannot be mapped into memory", "it is needed as input",
                   "check the limits on memory and on mapped files"},
                  system_reason(errno));
  }
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace d2c
