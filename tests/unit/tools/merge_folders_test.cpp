#include "d2c/tools/merge_folders.hpp"

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "adapters.hpp"
#include "test_support.hpp"

namespace d2c::tools {
namespace {

using testing::HasSubstr;

MergeFoldersOptions options_for(std::vector<std::filesystem::path> adapters,
                                const std::filesystem::path& output) {
  MergeFoldersOptions options;
  options.adapters = std::move(adapters);
  options.output = output;
  return options;
}

TEST(MergeFolders, MergeOfOneAdapterIsThatAdapter) {
  const test::TempFolder folder;
  auto options = options_for({save_adapter(folder.path(), "a")}, folder / "out");
  options.method = "cat";
  merge_folders(options);
  EXPECT_EQ(lora::fingerprint(lora::read_adapter(folder / "out").modules),
            lora::fingerprint(example_modules("a")));
}

TEST(MergeFolders, TheCardKeepsItsTableWhateverFoldersAreNamed) {
  const test::TempFolder folder;
  merge_folders(options_for({save_adapter(folder.path(), "a|b")}, folder / "out"));
  EXPECT_THAT(json::read_text(folder / "out/README.md"), HasSubstr("a\\|b | 1 | 1 of 1 |"));
}

TEST(MergeFolders, NothingIsOverwrittenAndNothingIsWrittenOnError) {
  const test::TempFolder folder;
  const auto a = save_adapter(folder.path(), "a");
  D2C_EXPECT_ERROR(merge_folders(options_for({a}, a)), InputError, "exists already");
  auto options = options_for({a}, folder / "out");
  options.weights = {1.0, 2.0};
  D2C_EXPECT_ERROR(merge_folders(options), UsageError, "2 values for 1 adapters", "; give 1");
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

}  // namespace
}  // namespace d2c::tools
