#include "d2c/core/error.hpp"

#include <gtest/gtest.h>

namespace d2c {
namespace {

TEST(InputError, IsOneLineWithPlaceWhatWhyAndFix) {
  const InputError error({"a/b.jsonl", "prompt", 7},
                         {"is missing", "no loss without it", "add it"});
  EXPECT_STREQ(error.what(), "a/b.jsonl:7: prompt: is missing (no loss without it) add it");
  EXPECT_EQ(error.code(), ExitCode::bad_input);
}

TEST(InputError, LeavesOutWhatIsEmpty) {
  EXPECT_STREQ(InputError({}, {"is wrong", "", ""}).what(), "is wrong");
  EXPECT_STREQ(InputError({"f", {}, 0}, {"is wrong", "", "mend it"}).what(), "f: is wrong mend it");
}

TEST(UsageError, HasExitCodeTwo) {
  EXPECT_EQ(static_cast<int>(UsageError({"x", "", ""}).code()), 2);
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
