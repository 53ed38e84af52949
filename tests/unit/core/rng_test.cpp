#include "d2c/core/rng.hpp"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

namespace d2c {
namespace {

// Known-answer vectors of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, MatchesThePublishedVectors) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(CounterRng, SkippingGivesTheSameNumbersAsDrawing) {
  CounterRng drawn(7, 3);
  for (int i = 0; i < 5; ++i) (void)drawn.next();
  CounterRng skipped(7, 3);
  skipped.skip_to(5);
  EXPECT_EQ(drawn.next(), skipped.next());
}

TEST(CounterRng, StreamsAndSeedsDiffer) {
  EXPECT_NE(CounterRng(1, 0).next(), CounterRng(1, 1).next());
  EXPECT_NE(CounterRng(1, 0).next(), CounterRng(2, 0).next());
}

TEST(CounterRng, BelowIsUniform) {
  CounterRng rng(1, 2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts[rng.below(7)];
  double chi2 = 0;
  for (const int count : counts) chi2 += std::pow(count - 10000, 2) / 10000.0;
  EXPECT_LT(chi2, 22.5);  // 99.9 % quantile of chi-squared with 6 degrees of freedom
}

TEST(CounterRng, NormalHasMeanZeroAndVarianceOne) {
  CounterRng rng(5, 9);
  double sum = 0;
  double squares = 0;
  constexpr int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 4 * std::sqrt(2.0 / n));
}

}  // namespace
}  // namespace d2c
