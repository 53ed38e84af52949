#include "d2c/ops/most_probable.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "random_rows.hpp"

namespace d2c::ops {
namespace {

using test::random_matrix;

/// The most probable tokens by a sort of all, in float64.
std::vector<std::pair<std::int32_t, double>> reference(std::span<const float> h, const Matrix& w,
                                                       std::size_t most) {
  std::vector<std::pair<std::int32_t, double>> all;
  double sum = 0.0;
  for (Index v = 0; v < w.rows(); ++v) {
    double logit = 0.0;
    for (std::size_t k = 0; k < h.size(); ++k) {
      logit += static_cast<double>(h[k]) * static_cast<double>(w(v, static_cast<Index>(k)));
    }
    all.emplace_back(static_cast<std::int32_t>(v), std::exp(logit));
    sum += all.back().second;
  }
  std::ranges::stable_sort(all, std::ranges::greater{}, [](const auto& p) { return p.second; });
  all.resize(std::min(most, all.size()));
  for (auto& [token, p] : all) p /= sum;
  std::ranges::sort(all);
  return all;
}

TEST(MostProbable, IsWhatASortOfAllTokensGives) {
  constexpr Index n = 300;
  constexpr Index d = 24;
  constexpr Index vocabulary = 2077;
  const Matrix h = random_matrix(n, d, "h");
  const Matrix w = random_matrix(vocabulary, d, "w");
  const test::Packed packed(w);
  ThreadTeam three(3);
  MostProbable most_probable;
  for (const Index most : {1, 5, 40, 3000}) {
    const SoftTargets found = most_probable(test::one_thread, rows_of(h), packed.view, {}, most);
    const SoftTargets again = most_probable(three, rows_of(h), packed.view, {}, most);
    EXPECT_EQ(found.tokens, again.tokens);
    EXPECT_EQ(found.probabilities, again.probabilities);
    ASSERT_EQ(found.size(), n);
    for (Index i = 0; i < n; i += 37) {
      const auto expected = reference(h.row(i), w, static_cast<std::size_t>(most));
      const auto begin = static_cast<std::size_t>(found.begin[static_cast<std::size_t>(i)]);
      ASSERT_EQ(
          found.begin[static_cast<std::size_t>(i) + 1] - found.begin[static_cast<std::size_t>(i)],
          std::ssize(expected));
      for (std::size_t j = 0; j < expected.size(); ++j) {
        EXPECT_EQ(found.tokens[begin + j], expected[j].first);
        EXPECT_NEAR(static_cast<double>(found.probabilities[begin + j]), expected[j].second,
                    1e-5 * expected[j].second);
      }
    }
  }
}

TEST(MostProbable, TakesTheLowerOfEquallyProbableTokens) {
  const Matrix h(1, 4);  // all logits are 0
  const test::Packed packed(random_matrix(50, 4, "w"));
  const SoftTargets found = MostProbable{}(test::one_thread, rows_of(h), packed.view, {}, 3);
  EXPECT_EQ(found.tokens, (std::vector<std::int32_t>{0, 1, 2}));
  for (const float p : found.probabilities) EXPECT_FLOAT_EQ(p, 0.02F);
}

}  // namespace
}  // namespace d2c::ops
