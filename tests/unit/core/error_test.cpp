#include "d2c/core/error.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace d2c {
namespace {

TEST(InputError, IsOneLineWithPlaceWhatWhyAndFix) {
  const InputError error({"a/b.jsonl", "prompt", 7},
                         {"is missing", "no loss without it", "add it"});
  EXPECT_STREQ(error.what(), "a/b.jsonl:7: prompt: is missing (no loss without it); add it");
  EXPECT_EQ(error.code(), ExitCode::bad_input);
}

TEST(InputError, LeavesOutWhatIsEmpty) {
  EXPECT_STREQ(InputError({}, {"is wrong", "", ""}).what(), "is wrong");
  EXPECT_STREQ(InputError({"f", {}, 0}, {"is wrong", "", "mend it"}).what(),
               "f: is wrong; mend it");
}

TEST(UsageError, HasExitCodeTwoAndKeepsItsParts) {
  const UsageError error({"-K is 0", "there must be room for one cluster", "give 1 or more"});
  EXPECT_EQ(static_cast<int>(error.code()), 2);
  EXPECT_EQ(error.message().fix, "give 1 or more");
}

TEST(IoError, SaysWhatTheSystemSays) {
  const IoError error({"a/b"}, {"cannot be written", "", "free some space"}, system_reason(ENOSPC));
  EXPECT_STREQ(error.what(), "a/b: cannot be written: No space left on device; free some space");
  EXPECT_EQ(error.reason(), "No space left on device");
  EXPECT_EQ(error.code(), ExitCode::bad_input);
}

TEST(ShapeMismatch, IsAnInputErrorWithBothShapes) {
  try {
    throw ShapeMismatch({"f", "w"}, {"has shape [2, 3]"}, {2, 3}, {4, 3});
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "f: w: has shape [2, 3]");
    EXPECT_EQ(dynamic_cast<const ShapeMismatch&>(error).found(), (Shape{2, 3}));
    EXPECT_EQ(dynamic_cast<const ShapeMismatch&>(error).expected(), (Shape{4, 3}));
  }
}

TEST(Contract, IsCheckedInDebugBuilds) {
#ifdef NDEBUG
  EXPECT_NO_THROW(D2C_EXPECTS(1 == 2));
#else
  EXPECT_THROW(D2C_EXPECTS(1 == 2), ContractError);
#endif
}

}  // namespace
}  // namespace d2c
