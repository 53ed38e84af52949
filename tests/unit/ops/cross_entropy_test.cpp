#include "d2c/ops/cross_entropy.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::random_matrix;

class CrossEntropy : public testing::Test {
 protected:
  static constexpr Index vocabulary = 4131;  // whole blocks and a remainder
  static constexpr Index d = 24;
  static constexpr Index n = 300;

  CrossEntropy() {
    for (Index i = 0; i < n; ++i) labels.push_back(static_cast<std::int32_t>(i * 13 + 150));
    labels.front() = 0;
    labels.back() = vocabulary - 1;
  }

  /// Scalar twin, of W + scaling B A.
  [[nodiscard]] double reference(Index i, double scaling = 0.0, double cap = 0.0) const {
    std::vector<double> logits;
    for (Index v = 0; v < vocabulary; ++v) {
      double sum = 0.0;
      for (Index k = 0; k < d; ++k) {
        double weight = static_cast<double>(w(v, k));
        for (Index r = 0; r < a.rows(); ++r) {
          weight += scaling * static_cast<double>(b(v, r)) * static_cast<double>(a(r, k));
        }
        sum += static_cast<double>(h(i, k)) * weight;
      }
      logits.push_back(cap > 0.0 ? cap * std::tanh(sum / cap) : sum);
    }
    const double maximum = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const double logit : logits) sum += std::exp(logit - maximum);
    return std::log(sum) + maximum -
           logits[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
  }

  Matrix h = random_matrix(n, d, "h");
  Matrix w = random_matrix(vocabulary, d, "w");
  Matrix a = random_matrix(3, d, "a");
  Matrix b = random_matrix(vocabulary, 3, "b");
  test::Packed<> packed{w};
  std::vector<std::int32_t> labels;
  std::vector<double> nll = std::vector<double>(n);
};

// Logits of size up to 20 from 24 terms: errors of 24 eps * 20 at most, 1e-5 with room.

TEST_F(CrossEntropy, EqualsLogSumExpMinusTheLabelsLogit) {
  ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)), packed.view, {}, labels, nll);
  for (Index i = 0; i < n; ++i) {
    EXPECT_NEAR(nll[static_cast<std::size_t>(i)], reference(i), 2e-5) << i;
  }
}

TEST_F(CrossEntropy, CapsLogits) {
  for (const double cap : {3.0, 30.0}) {
    ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)), packed.view, {}, labels, nll,
                        static_cast<float>(cap));
    for (Index i = 0; i < n; i += 7) {
      EXPECT_NEAR(nll[static_cast<std::size_t>(i)], reference(i, 0.0, cap), 2e-5) << i;
    }
  }
}

TEST_F(CrossEntropy, TakesALowRankUpdateOfTheProjection) {
  const LowRankUpdate update(test::one_thread,
                             std::vector<LowRankUpdate::Part>{
                                 {rows_of(std::as_const(a)), rows_of(std::as_const(b)), 0.5, 0}});
  ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)), packed.view, update, labels,
                      nll);
  for (const Index i : {0, 1, 100, 150, 191, 192, 199}) {
    EXPECT_NEAR(nll[static_cast<std::size_t>(i)], reference(i, 0.5), 5e-5) << i;
  }
}

TEST_F(CrossEntropy, LargeLogitsDoNotOverflow) {
  for (float& value : h.values()) value *= 1e6F;
  ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)), packed.view, {}, labels, nll);
  for (Index i = 0; i < n; ++i) {
    const double expected = reference(i);
    EXPECT_NEAR(nll[static_cast<std::size_t>(i)], expected, 1e-6 * 2e7) << i;
  }
}

TEST_F(CrossEntropy, BitsOfARowDependOnNothingButTheRow) {
  ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)), packed.view, {}, labels, nll);
  for (const Index i : {0, 7, 263, 264, 299}) {
    double alone = 0.0;
    ops::CrossEntropy()(test::one_thread, rows_of(std::as_const(h)).rows(i, 1), packed.view, {},
                        std::span(labels).subspan(static_cast<std::size_t>(i), 1), {&alone, 1});
    EXPECT_EQ(alone, nll[static_cast<std::size_t>(i)]);
  }
}

}  // namespace
}  // namespace d2c::ops
