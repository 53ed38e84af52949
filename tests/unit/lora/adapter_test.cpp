#include "d2c/lora/adapter.hpp"

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::lora {
namespace {

TEST(ReadAdapter, ReadsEveryRealAdapter) {
  for (const char* root : {"golden", "real/fv40"}) {
    D2C_SKIP_WITHOUT(test::shared(root));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(test::shared(root))) {
      if (entry.path().filename() != "adapter_config.json") continue;
      EXPECT_GT(read_adapter(entry.path().parent_path()).modules.size(), 3U);
    }
  }
}

}  // namespace
}  // namespace d2c::lora
