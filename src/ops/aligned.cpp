#include "d2c/ops/aligned.hpp"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace d2c::ops {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= 2 * huge_page ? huge_page : alignment};
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  void* memory = ::operator new(bytes, alignment_of(bytes));
#ifdef __linux__
  // Advice: where the system does not take it, nothing is lost.
  if (bytes >= 2 * huge_page) static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
#endif
  return memory;
}

void free_aligned(void* memory, std::size_t bytes) {
  ::operator delete(memory, alignment_of(bytes));
}

}  // namespace d2c::ops
