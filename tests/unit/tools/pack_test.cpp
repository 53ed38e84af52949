#include "d2c/tools/pack.hpp"

#include <set>
#include <span>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/results/library.hpp"
#include "d2c/results/library_record.hpp"

#include "adapters.hpp"
#include "test_support.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using IfExists = LibraryOptions::IfExists;

class Pack : public testing::Test {
 protected:
  LibraryOptions options(std::vector<fs::path> inputs, IfExists if_exists = IfExists::refuse) {
    return {.inputs = std::move(inputs),
            .output = library(),
            .model = {},
            .manifest_output = {},
            .if_exists = if_exists,
            .log = {}};
  }
  fs::path library() { return folder_ / "library.h5"; }
  std::uint64_t fingerprint_of(const std::string& name) {
    return lora::fingerprint(
        lora::read_adapter(results::read_adapter_at(library().string() + "::" + name)).modules);
  }
  std::set<std::string> names_beside() {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      if (!entry.is_directory()) names.insert(entry.path().filename());
    }
    return names;
  }

  test::TempFolder folder_;
};

TEST_F(Pack, GivesBackWhatWasPackedAndLeavesNothingElse) {
  const PackSummary summary =
      pack(options({save_adapter(folder_.path(), "b"), save_adapter(folder_.path(), "a", 3)}));
  EXPECT_EQ(summary.n_adapters, 2U);
  EXPECT_EQ(summary.bytes, fs::file_size(library()));
  EXPECT_THAT(results::read_library(library()).name, ElementsAre("b", "a"));
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(fingerprint_of(name), lora::fingerprint(lora::read_adapter(folder_ / name).modules));
  }
  EXPECT_THAT(verify_library(library()), HasSubstr("2 adapters"));
  EXPECT_THAT(names_beside(), ElementsAre("library.h5"));
}

TEST_F(Pack, GoesOnWhereAnEarlierCallStopped) {
  const auto a = save_adapter(folder_.path(), "a");
  const auto b = save_adapter(folder_.path(), "b");
  fs::rename(b / "adapter_model.safetensors", folder_ / "aside");
  EXPECT_THROW((void)pack(options({a, b})), Error);
  fs::rename(folder_ / "aside", b / "adapter_model.safetensors");
  EXPECT_THAT(names_beside(), ElementsAre("library.h5.partial", "library.h5.partial.journal"));
  const PackSummary summary = pack(options({a, b}));
  EXPECT_EQ(summary.n_resumed, 1U);
  EXPECT_EQ(summary.n_adapters, 2U);
  EXPECT_THAT(names_beside(), ElementsAre("library.h5"));
}

TEST_F(Pack, DoesNotGoOnWithNotesWhoseNumbersNoIntegerHolds) {
  const auto a = save_adapter(folder_.path(), "a");
  EXPECT_THROW((void)pack(options({a, folder_ / "absent"})), Error);
  const fs::path journal = folder_ / "library.h5.partial.journal";
  const std::string notes = read_text(journal);
  const std::size_t line = notes.find("{\"name\"");
  for (const std::string field : {"\"fingerprint\":", "\"record\":[", "\"ranks\":[["}) {
    std::string text = notes.substr(line, notes.find('\n', line) - line);
    const std::size_t number = text.find(field) + field.size();
    text.replace(number, text.find_first_of(",]}", number) - number, "67844144073419103230");
    const std::uint32_t checksum = crc32(std::as_bytes(std::span(text)));
    test::write_file(journal,
                     fmt::format("{}{:08x} {}\n", notes.substr(0, line - 9), checksum, text));
    D2C_EXPECT_ERROR((void)pack(options({a})), InputError, "journal: is damaged", "start over");
  }
}

TEST_F(Pack, DoesNotGoOnWithAnAdapterThatHasChanged) {
  const auto a = save_adapter(folder_.path(), "a");
  EXPECT_THROW((void)pack(options({a, folder_ / "absent"})), Error);
  fs::remove_all(a);
  save_adapter(folder_.path(), "a", 3);
  D2C_EXPECT_ERROR((void)pack(options({a})), InputError, "a: has changed", "remove");
}

TEST_F(Pack, AppendsToWhatIsThere) {
  (void)pack(options({save_adapter(folder_.path(), "a")}));
  const auto b = save_adapter(folder_.path(), "b");
  (void)pack(options({b}, IfExists::append));
  EXPECT_THAT(results::read_library(library()).name, ElementsAre("a", "b"));
  EXPECT_EQ(fingerprint_of("a"), lora::fingerprint(lora::read_adapter(folder_ / "a").modules));
  D2C_EXPECT_ERROR((void)pack(options({b}, IfExists::append)), InputError,
                   "in the library already");
}

TEST_F(Pack, ADamagedRecordIsFoundByName) {
  (void)pack(options({save_adapter(folder_.path(), "a"), save_adapter(folder_.path(), "b")}));
  const results::LibraryIndex index = results::read_library(library());
  std::string bytes = json::read_text(library());
  bytes[index.data_begin + index.begin[1] + index.tensors_begin[1] + 200] ^= 1;
  test::write_file(library(), bytes);
  D2C_EXPECT_ERROR((void)verify_library(library()), InputError, "1 of 2 adapters", "b");
  D2C_EXPECT_ERROR((void)pack(options({save_adapter(folder_.path(), "c")}, IfExists::append)),
                   InputError, "library.h5: b: is damaged", "restore the library");
}

TEST_F(Pack, AdaptersOfAnotherShapeAreRefusedWithBothShapes) {
  const auto a = save_adapter(folder_.path(), "a");
  const auto b = save_adapter(folder_.path(), "b", 2, 8);
  try {
    (void)pack(options({a, b}));
    FAIL();
  } catch (const ShapeMismatch& error) {
    EXPECT_THAT(error.found(), ElementsAre(4, 8));
    EXPECT_THAT(error.expected(), ElementsAre(4, 6));
    EXPECT_EQ(error.where().file, b);
  }
}

}  // namespace
}  // namespace d2c::tools
