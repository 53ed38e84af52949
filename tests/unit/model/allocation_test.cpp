#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "d2c/model/decoder.hpp"

#include "batches.hpp"
#include "tiny_model.hpp"

// A program of its own: it counts every allocation through operator new.

namespace {

std::atomic<int> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, rounded)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace d2c::model {
namespace {

TEST(Decoder, AllocatesOnlyItsResultAfterTheFirstBatch) {
  const test::TinyModel tiny = test::tiny_model(json::Json::object());
  const Model model = load(tiny);
  const PreparedAdapter adapter(test::one_thread, model.config(), test::tiny_adapter(tiny, 5));
  test::TestBatch batch;
  for (const Index length : {33, 60, 7}) {
    test::Ids ids;
    for (Index i = 0; i < length; ++i) ids.push_back(static_cast<std::int32_t>(i * length % 50));
    test::add_sequence(batch, ids);
  }
  Decoder decoder(model);
  const auto first = decoder.nll(test::one_thread, batch.forest, batch.targets, &adapter);
  const int before = allocations;
  const auto second = decoder.nll(test::one_thread, batch.forest, batch.targets, &adapter);
  EXPECT_EQ(allocations - before, 1);
  EXPECT_EQ(second, first);
}

}  // namespace
}  // namespace d2c::model
