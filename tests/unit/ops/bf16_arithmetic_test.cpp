#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/peak.hpp"
#include "d2c/tensor/dtype.hpp"

#include "panel/panel_kernel.hpp"
#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::random_matrix;

float without_subnormal(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}

/// Scalar twin of rounding an activation.
float rounded(float value) { return float_from_bf16(bf16_from_float(without_subnormal(value))); }

/// Scalar twin of one multiply-add of VDPBF16PS.
float multiply_add(float a, float b, float c) {
  return without_subnormal(
      std::fma(without_subnormal(a), without_subnormal(b), without_subnormal(c)));
}

float weight(const Matrix& w, Index o, Index k) {
  return k < w.cols() ? float_from_bf16(bf16_from_float(w(o, k))) : 0.0F;
}

/// Scalar twin of a chain over columns [begin, end) of x and w.
float chain(const float* x, const Matrix& w, Index o, Index begin, Index end) {
  float sum = 0.0F;
  for (Index k = begin; k < end; k += 2) {
    const float second = k + 1 < end ? rounded(x[k + 1]) : 0.0F;
    const float second_weight = k + 1 < end ? weight(w, o, k + 1) : 0.0F;
    sum = multiply_add(second, second_weight, sum);
    sum = multiply_add(rounded(x[k]), weight(w, o, k), sum);
  }
  return sum;
}

/// Scalar twin of linear() for d_in of at most 640: one chain.
Matrix twin(const Matrix& x, const Matrix& w) {
  Matrix y(x.rows(), w.rows());
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index o = 0; o < w.rows(); ++o) y(t, o) = chain(rows_of(x).row(t), w, o, 0, x.cols());
  }
  return y;
}

Matrix one_value(float value) {
  Matrix m(1, 1);
  m(0, 0) = value;
  return m;
}

class Bf16Arithmetic : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_supported(Arithmetic::bf16)) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  }
};

/// For products in BF16 arithmetic.
struct Packed : test::Packed<BFloat16> {
  explicit Packed(const Matrix& w) : test::Packed<BFloat16>(w) {
    view = view.with(Arithmetic::bf16);
  }
};

TEST_F(Bf16Arithmetic, EqualsTheScalarTwinToTheBitForAllRemainders) {
  for (Index n = 1; n <= 30; ++n) {
    for (const Index d_out : {1, 15, 16, 17, 32, 47, 65}) {
      for (const Index d_in : {1, 2, 7, 64, 129}) {
        const Matrix x = random_matrix(n, d_in, "x");
        const Matrix w = random_matrix(d_out, d_in, "w");
        Matrix y(n, d_out);
        linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
        ASSERT_EQ(y, twin(x, w)) << n << ", " << d_out << ", " << d_in;
      }
    }
  }
}

TEST_F(Bf16Arithmetic, ReadsAndWritesItsColumnsOfWiderMatricesAlone) {
  constexpr Index d_in = 37;
  const Matrix wide = random_matrix(29, 50, "x");
  Matrix x(29, d_in);
  for (Index t = 0; t < 29; ++t) std::copy_n(rows_of(wide).row(t) + 5, d_in, rows_of(x).row(t));
  const Matrix w = random_matrix(21, d_in, "w");
  Matrix y(29, 30);
  for (float& value : y.values()) value = 42.0F;
  linear(test::one_thread, rows_of(wide).columns(5, d_in), Packed(w).view,
         rows_of(y).columns(4, 21));
  const Matrix expected = twin(x, w);
  for (Index t = 0; t < 29; ++t) {
    for (Index o = 0; o < 30; ++o) {
      EXPECT_EQ(y(t, o), o >= 4 && o < 25 ? expected(t, o - 4) : 42.0F) << t << ", " << o;
    }
  }
}

TEST_F(Bf16Arithmetic, AddsChainsOfTheLengthsOfFloat32) {
  // 1301 columns: chains of 448, 448 and 405.
  const Matrix x = random_matrix(14, 1301, "x");
  const Matrix w = random_matrix(35, 1301, "w");
  Matrix y = random_matrix(14, 35, "y");
  Matrix expected = y;
  add_linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
  for (Index t = 0; t < 14; ++t) {
    for (Index o = 0; o < 35; ++o) {
      for (const Index begin : {0, 448, 896}) {
        expected(t, o) += chain(rows_of(x).row(t), w, o, begin, std::min(begin + 448, Index{1301}));
      }
    }
  }
  EXPECT_EQ(y, expected);
}

TEST_F(Bf16Arithmetic, ASumSplitByExtendHasTheBitsOfTheWhole) {
  const Matrix a = random_matrix(13, 1500, "a");
  const Packed b(random_matrix(21, 1500, "b"));
  Matrix whole(13, 21);
  Matrix split(13, 21);
  PanelProduct<BFloat16> product;
  product.m = 13;
  product.n = 21;
  product.k = 1500;
  product.a = a.data();
  product.lda = 1500;
  product.b = b.panels.data();
  product.panel_stride = b.view.panel_stride();
  product.c = whole.data();
  product.ldc = 21;
  multiply_panels_in_bf16(product);
  product.c = split.data();
  for (const Index begin : {0, 48, 900}) {
    product.k = (begin == 0 ? 48 : begin == 48 ? 900 : 1500) - begin;
    product.a = a.data() + begin;
    product.b = b.panels.data() + begin * panel_width;
    product.store = begin == 0 ? Store::overwrite : Store::extend;
    multiply_panels_in_bf16(product);
  }
  EXPECT_EQ(whole, split);
}

TEST_F(Bf16Arithmetic, BitsOfARowDependOnNothingButTheRow) {
  constexpr Index n = 1060;  // several blocks of rows, of columns and of the sum
  const Matrix x = random_matrix(301, 1100, "x");
  const Packed packed(random_matrix(n, 1100, "w"));
  Matrix together(301, n);
  linear(test::one_thread, rows_of(x), packed.view, rows_of(together));
  for (const Index t : {0, 5, 11, 12, 155, 156, 299, 300}) {
    Matrix alone(1, n);
    linear(test::one_thread, rows_of(x).rows(t, 1), packed.view, rows_of(alone));
    for (Index o = 0; o < n; ++o) ASSERT_EQ(alone(0, o), together(t, o)) << t << ", " << o;
  }
  Matrix columns(301, 100);
  linear(test::one_thread, rows_of(x), packed.view.rows(960, 100), rows_of(columns));
  for (Index t = 0; t < 301; ++t) {
    for (Index o = 0; o < 100; ++o) ASSERT_EQ(columns(t, o), together(t, 960 + o));
  }
  for (const int threads : {2, 3}) {
    ThreadTeam team(threads);
    Matrix shared(301, n);
    linear(team, rows_of(x), packed.view, rows_of(shared));
    EXPECT_EQ(shared, together);
  }
}

TEST_F(Bf16Arithmetic, RoundsActivationsToNearestTiesToEven) {
  const Packed one(one_value(1.0F));
  const float infinity = std::numeric_limits<float>::infinity();
  for (const auto& [value, expected] :
       std::vector<std::pair<float, float>>{{0x1.01p0F, 0x1.00p0F},      // a tie, down to even
                                            {0x1.03p0F, 0x1.04p0F},      // a tie, up to even
                                            {0x1.010002p0F, 0x1.02p0F},  // just above a tie
                                            {0x1.02fffep0F, 0x1.02p0F},  // just below one
                                            {-0x1.03p0F, -0x1.04p0F},    //
                                            {0x1.ffp127F, infinity},  // rounds beyond the largest
                                            {infinity, infinity}}) {
    const Matrix x = one_value(value);
    Matrix y(1, 1);
    linear(test::one_thread, rows_of(x), one.view, rows_of(y));
    EXPECT_EQ(y(0, 0), expected) << value;
    EXPECT_EQ(y(0, 0), rounded(value));
  }
  const Matrix x = one_value(std::numeric_limits<float>::quiet_NaN());
  Matrix y(1, 1);
  linear(test::one_thread, rows_of(x), one.view, rows_of(y));
  EXPECT_TRUE(std::isnan(y(0, 0)));
}

TEST_F(Bf16Arithmetic, SubnormalOperandsAndResultsCountAsZero) {
  // Products from 2^-160 to 2^-100, with operands from 2^-140 to 2^-60.
  Matrix x = random_matrix(25, 40, "x");
  Matrix w = random_matrix(33, 40, "w");
  for (Index k = 0; k < 40; ++k) {
    for (Index t = 0; t < 25; ++t) x(t, k) = std::ldexp(x(t, k), static_cast<int>(-140 + 2 * k));
    for (Index o = 0; o < 33; ++o) w(o, k) = std::ldexp(w(o, k), static_cast<int>(-20 - k));
  }
  Matrix y(25, 33);
  linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
  EXPECT_EQ(y, twin(x, w));
  for (const float value : y.values()) EXPECT_NE(std::fpclassify(value), FP_SUBNORMAL);
}

TEST_F(Bf16Arithmetic, DiffersFromExactProductsByTheRoundingOfActivationsAtMost) {
  const Matrix x = random_matrix(40, 576, "x");
  const Matrix w = random_matrix(64, 576, "w");
  Matrix y(40, 64);
  linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
  double largest = 0.0;
  for (Index t = 0; t < 40; ++t) {
    for (Index o = 0; o < 64; ++o) {
      double value = 0.0;
      double magnitude = 0.0;
      for (Index k = 0; k < 576; ++k) {
        const double term = static_cast<double>(x(t, k)) * static_cast<double>(weight(w, o, k));
        value += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(static_cast<double>(y(t, o)) - value);
      // Half a unit in the last of 8 bits, and the chain's own rounding (Higham, gamma_n).
      const double gamma = 577.0 * static_cast<double>(std::numeric_limits<float>::epsilon()) / 2.0;
      EXPECT_LE(error, (std::ldexp(1.0, -9) * (1.0 + gamma) + gamma) * magnitude);
      largest = std::max(largest, error / magnitude);
    }
  }
  EXPECT_GT(largest, 1e-5);  // activations were rounded
}

TEST_F(Bf16Arithmetic, ProjectsOnTheVocabularyAsLinearDoes) {
  const Matrix h = random_matrix(30, 48, "h");
  const Packed w(random_matrix(1100, 48, "w"));
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < 30; ++i) labels.push_back(static_cast<std::int32_t>(37 * i));
  std::vector<double> nll(30);
  CrossEntropy()(test::one_thread, rows_of(h), w.view, {}, labels, nll);
  Matrix z(30, 1100);
  linear(test::one_thread, rows_of(h), w.view, rows_of(z));
  for (Index i = 0; i < 30; ++i) {
    double sum = 0.0;
    for (Index v = 0; v < 1100; ++v) sum += std::exp(static_cast<double>(z(i, v)));
    const auto label = labels[static_cast<std::size_t>(i)];
    EXPECT_NEAR(nll[static_cast<std::size_t>(i)], std::log(sum) - static_cast<double>(z(i, label)),
                1e-5);
  }
}

TEST_F(Bf16Arithmetic, HasAPeak) { EXPECT_GT(bf16_peak(0.001), 0.0); }

TEST(Arithmetic, OnProcessorsWithoutBf16IsFloat32Alone) {
  const VectorKernels in_use = use_kernels(baseline_kernels());
  EXPECT_TRUE(is_supported(Arithmetic::f32));
  EXPECT_FALSE(is_supported(Arithmetic::bf16));
  EXPECT_EQ(bf16_peak(0.001), 0.0);
  use_kernels(in_use);
}

}  // namespace
}  // namespace d2c::ops
