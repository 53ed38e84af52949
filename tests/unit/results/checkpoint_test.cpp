#include "d2c/results/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/results/reader.hpp"

#include "test_support.hpp"

namespace d2c::results {
namespace {

using d2c::test::TempFolder;
using d2c::test::write_file;
using testing::HasSubstr;

Checkpoint example(const std::string& seed) {
  return {.identity = {{"--seed", seed}, {"examples of task 'Ü'", "0123456789abcdef"}},
          .measured = {
              {{"base", "few_shot 1+1", {}, {}}, {{0, 1}, {1.5, 2.5, 0.5, 0.25}}},
              {{"average", "few_shot 1+1", {0, 2}, {0.25, 0.75}}, {{0, 1}, {1.5, 1.25, 0.1, 0.2}}},
              {{"average", "held_out", {0, 2}, {0.25, 0.75}}, {{2}, {0.125}}},
              {{"average", "few_shot 1+1", {0, 2}, {0.25, 0.75}, 2.0}, {{}, {}}}}};
}

void write(const std::filesystem::path& file, const Checkpoint& checkpoint) {
  write_checkpoint(file, checkpoint.identity, checkpoint.measured);
}

Checkpoint load(const std::filesystem::path& file, std::string* warning = nullptr) {
  const auto loaded = read_checkpoint(file);
  if (!loaded) {
    ADD_FAILURE() << "no checkpoint";
    return {};
  }
  if (warning != nullptr) *warning = loaded->warning;
  return loaded->checkpoint;
}

TEST(Checkpoint, NoneOnDiskIsNoError) {
  const TempFolder folder;
  EXPECT_FALSE(read_checkpoint(folder / "run.checkpoint").has_value());
}

TEST(Checkpoint, EveryFieldSurvives) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  std::string warning;
  EXPECT_EQ(load(folder / "c", &warning), example("one"));
  EXPECT_EQ(warning, "");
}

TEST(Checkpoint, AnEmptyOneSurvives) {
  const TempFolder folder;
  const Checkpoint empty;
  write(folder / "c", empty);
  EXPECT_EQ(load(folder / "c"), empty);
}

TEST(Checkpoint, TheNewestCountsAndThePreviousIsKept) {
  const TempFolder folder;
  for (const char* hash : {"one", "two", "three"}) write(folder / "c", example(hash));
  EXPECT_EQ(load(folder / "c").identity.at("--seed"), "three");
  EXPECT_EQ(load(folder / "c.previous").identity.at("--seed"), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST(Checkpoint, ADamagedNewestFallsBackWithAWarning) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  write(folder / "c", example("two"));
  const std::string whole = json::read_text(folder / "c");
  for (std::size_t i = 0; i < 100; ++i) {
    std::string damaged = whole;
    const std::size_t at = (i + 1) * (whole.size() - 1) / 100;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
    write_file(folder / "c", damaged);
    std::string warning;
    EXPECT_EQ(load(folder / "c", &warning), example("one"));
    EXPECT_THAT(warning, HasSubstr("c: is damaged"));
    EXPECT_THAT(warning, HasSubstr("c.previous"));
    EXPECT_THAT(warning, testing::Not(HasSubstr("\n")));
  }
}

TEST(Checkpoint, ADamagedOneDoesNotReplaceTheOneBefore) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  write(folder / "c", example("two"));
  write_file(folder / "c", "damaged");
  write(folder / "c", example("three"));
  EXPECT_EQ(load(folder / "c"), example("three"));
  EXPECT_EQ(load(folder / "c.previous"), example("one"));
}

TEST(Checkpoint, ATruncatedOrMissingNewestFallsBackWithAWarning) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  write(folder / "c", example("two"));
  const std::string whole = json::read_text(folder / "c");
  std::string warning;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{100}, std::size_t{512}, whole.size() / 2, whole.size() - 1}) {
    write_file(folder / "c", whole.substr(0, size));
    EXPECT_EQ(load(folder / "c", &warning), example("one")) << size;
    EXPECT_THAT(warning, HasSubstr("is damaged"));
  }
  std::filesystem::remove(folder / "c");
  EXPECT_EQ(load(folder / "c", &warning), example("one"));
  EXPECT_THAT(warning, HasSubstr("is missing"));
}

TEST(Checkpoint, WithoutAnyUsableOneTheRunDoesNotStartOver) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  write_file(folder / "c", "damaged");
  D2C_EXPECT_ERROR(static_cast<void>(read_checkpoint(folder / "c")), InputError,
                   "no checkpoint can be used", "to start over");
  write_file(folder / "c.previous", "damaged too");
  D2C_EXPECT_ERROR(static_cast<void>(read_checkpoint(folder / "c")), InputError,
                   "no checkpoint can be used", "c.previous: is damaged");
  for (const char* name : {"c", "c.previous"}) std::filesystem::remove(folder / name);
  std::filesystem::create_symlink(folder / "nothing", folder / "c");
  D2C_EXPECT_ERROR(static_cast<void>(read_checkpoint(folder / "c")), InputError,
                   "no checkpoint can be used", "does not exist");
}

TEST(Checkpoint, AResultsReaderDoesNotTakeItForResults) {
  const TempFolder folder;
  write(folder / "c", example("one"));
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "c")), InputError,
                   "is not a d2c-results file");
}

TEST(Checkpoint, AFolderThatDoesNotExistIsAnError) {
  const TempFolder folder;
  D2C_EXPECT_ERROR(write(folder / "missing/c", example("one")), IoError, "missing/c",
                   "No such file or directory");
}

}  // namespace
}  // namespace d2c::results
