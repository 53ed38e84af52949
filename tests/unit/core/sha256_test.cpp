#include "d2c/core/sha256.hpp"

#include <gtest/gtest.h>

namespace d2c {
namespace {

// Examples of FIPS 180-4 and of its test suite.
TEST(Sha256, MatchesThePublishedExamples) {
  EXPECT_EQ(Sha256().text(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256().update("abc").text(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().update("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").text(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256().update(std::string(1'000'000, 'a')).text(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheContentIsCut) {
  for (std::size_t size = 50; size < 140; ++size) {
    const std::string text(size, 'x');
    Sha256 pieces;
    for (const char c : text) pieces.update(std::string_view(&c, 1));
    EXPECT_EQ(pieces.text(), Sha256().update(text).text()) << size;
  }
}

}  // namespace
}  // namespace d2c
