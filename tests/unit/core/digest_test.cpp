#include "d2c/core/digest.hpp"

#include <gtest/gtest.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/rng.hpp"

namespace d2c {
namespace {

// Test vectors of the authors of FNV, 64 bits, variant 1a.
TEST(Digest, MatchesThePublishedVectors) {
  EXPECT_EQ(Digest().value(), 0xcbf29ce484222325);
  EXPECT_EQ(Digest().update("a").value(), 0xaf63dc4c8601ec8c);
  EXPECT_EQ(Digest().update("foobar").text(), "85944171f73967e8");
}

TEST(Digest, DoesNotDependOnHowTheContentIsCut) {
  EXPECT_EQ(Digest().update("foo").update("bar").value(), Digest().update("foobar").value());
}

TEST(Digest, NumbersAreEightBytesFromTheLowest) {
  EXPECT_EQ(Digest().update(0x0201).value(),
            Digest().update(std::string_view("\1\2\0\0\0\0\0\0", 8)).value());
}

TEST(Digest, OfANameIsItsStream) { EXPECT_EQ(hash_name("name"), Digest().update("name").value()); }

// The check value of CRC-32 as its catalogues give it.
TEST(Checksum, GoesOnAfterAnyPartAnEmptyOneToo) {
  const auto bytes = std::as_bytes(std::span(std::string_view("123456789")));
  EXPECT_EQ(crc32(bytes), 0xcbf43926);
  EXPECT_EQ(crc32(bytes.subspan(4), crc32({}, crc32(bytes.first(4)))), 0xcbf43926);
}

}  // namespace
}  // namespace d2c
