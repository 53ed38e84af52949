#include "d2c/safetensors/reader.hpp"

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::safetensors {
namespace {

TEST(Reader, OpensEveryGoldenFile) {
  const auto root = test::shared("golden");
  D2C_SKIP_WITHOUT(root);
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".safetensors") continue;
    const Reader reader(entry.path());
    for (const auto& [name, info] : reader.tensors()) {
      EXPECT_EQ(info.n_elements() * Index(size_of(info.dtype)), std::ssize(reader.bytes(name)));
      if (info.shape.size() == 2) {
        EXPECT_EQ(reader.matrix(name).size(), info.n_elements());
      }
    }
    ++count;
  }
  EXPECT_EQ(count, 35);
}

}  // namespace
}  // namespace d2c::safetensors
