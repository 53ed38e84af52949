#include "d2c/core/failure.hpp"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "d2c/core/activity.hpp"

namespace d2c {
namespace {

template <class Work>
Failure failure_of(const Work& work) {
  try {
    work();
  } catch (...) {
    return current_failure();
  }
  return {ExitCode::ok, ""};
}

TEST(Failure, OfAnErrorIsItsLineAndCode) {
  const Failure failure = failure_of([] { throw InputError({"f"}, {"is wrong"}); });
  EXPECT_EQ(failure.line, "f: is wrong");
  EXPECT_EQ(failure.code, ExitCode::bad_input);
}

TEST(Failure, WithoutMemoryNamesWhatWasGoingOn) {
  const Failure failure = failure_of([] {
    const Activity outer("searching");
    const Activity inner("reading", "x.json");
    throw std::bad_alloc();
  });
  EXPECT_TRUE(failure.line.starts_with("out of memory while reading x.json")) << failure.line;
  EXPECT_EQ(failure.code, ExitCode::failure);
  const Activity later("writing");
  EXPECT_EQ(Activity::at_failure(), " while writing");
}

TEST(Failure, OfAContainerThatNoMemoryHoldsIsOneOfMemory) {
  const Failure failure = failure_of([] {
    std::vector<double> values;
    values.resize(std::size_t{1} << 62);
  });
  EXPECT_TRUE(failure.line.starts_with("out of memory")) << failure.line;
}

TEST(Failure, OfTheFileSystemIsBadInputWithoutTheWordsOfTheLibrary) {
  const Failure failure =
      failure_of([] { (void)std::filesystem::is_directory(std::string(5000, 'a')); });
  EXPECT_EQ(failure.code, ExitCode::bad_input);
  EXPECT_NE(failure.line.find("cannot be used: File name too long"), std::string::npos);
  EXPECT_EQ(failure.line.find("filesystem error"), std::string::npos);
}

TEST(Failure, OfJsonHasNoWordsOfTheLibrary) {
  const Failure text = failure_of([] { (void)nlohmann::json("\xFF").dump(); });
  EXPECT_EQ(text.code, ExitCode::bad_input);
  EXPECT_EQ(text.line.find("json.exception"), std::string::npos);
  const Failure type = failure_of([] { (void)nlohmann::json(1).get<std::string>(); });
  EXPECT_EQ(type.code, ExitCode::failure);
  EXPECT_EQ(type.line.find("json.exception"), std::string::npos);
}

TEST(Failure, OfAnythingElseIsABug) {
  const Failure failure = failure_of([] { (void)std::vector<int>().at(3); });
  EXPECT_TRUE(failure.line.starts_with("internal error")) << failure.line;
  EXPECT_EQ(failure.code, ExitCode::failure);
}

}  // namespace
}  // namespace d2c
