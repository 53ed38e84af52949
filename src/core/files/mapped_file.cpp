#include "d2c/core/mapped_file.hpp"

#include <array>
#include <atomic>
#include <cerrno>

#include <sys/mman.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/readable.hpp"

namespace d2c {
namespace {

/// All that there are, for holder(); of more than fit, the rest have no name there.
std::array<std::atomic<const MappedFile*>, 1024> mapped{};

void replace(const MappedFile* from, const MappedFile* to) {
  for (auto& place : mapped) {
    const MappedFile* expected = from;
    if (place.compare_exchange_strong(expected, to)) return;
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) : shown_as_(readable(file.string())) {
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
  replace(nullptr, this);
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  replace(this, nullptr);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

const char* MappedFile::holder(const void* address) {
  const auto* byte = static_cast<const std::byte*>(address);
  for (const auto& place : mapped) {
    const MappedFile* file = place.load();
    if (file == nullptr) continue;
    const std::byte* begin = file->bytes_.data();
    if (byte >= begin && byte < begin + file->bytes_.size()) return file->shown_as_.c_str();
  }
  return nullptr;
}

}  // namespace d2c
