#include "d2c/ops/linear.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "d2c/tensor/dtype.hpp"

#include "panel/panel_kernel.hpp"
#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::Packed;
using test::random_matrix;

/// Values that BF16 holds.
Matrix random_bf16_matrix(Index rows, Index cols, const char* name) {
  Matrix m = random_matrix(rows, cols, name);
  for (float& value : m.values()) value = float_from_bf16(bf16_from_float(value));
  return m;
}

struct Reference {
  double value = 0.0;
  double magnitude = 0.0;  ///< sum of the absolute terms
};

/// Scalar twin of linear().
Reference dot(const Matrix& x, Index t, const Matrix& w, Index o) {
  Reference result;
  for (Index i = 0; i < x.cols(); ++i) {
    const double term = static_cast<double>(x(t, i)) * static_cast<double>(w(o, i));
    result.value += term;
    result.magnitude += std::abs(term);
  }
  return result;
}

/// Bound of the rounding error of a sum of n products (Higham, gamma_n).
double bound(Index n, double magnitude) {
  return static_cast<double>(n + 1) * std::numeric_limits<float>::epsilon() / 2.0 * magnitude;
}

void expect_product(const Matrix& x, const Matrix& w, const Matrix& y) {
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index o = 0; o < w.rows(); ++o) {
      const Reference reference = dot(x, t, w, o);
      ASSERT_NEAR(static_cast<double>(y(t, o)), reference.value,
                  bound(x.cols(), reference.magnitude))
          << "at [" << t << ", " << o << "]";
    }
  }
}

TEST(Linear, EqualsTheScalarProductForAllRemainders) {
  for (const Index n : {1, 2, 5, 12, 13, 23, 24, 200}) {
    for (const Index d_out : {1, 15, 16, 17, 32, 47, 48, 65}) {
      for (const Index d_in : {1, 7, 64}) {
        const Matrix x = random_matrix(n, d_in, "x");
        const Matrix w = random_matrix(d_out, d_in, "w");
        Matrix y(n, d_out);
        linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
        expect_product(x, w, y);
      }
    }
  }
}

TEST(Linear, ThinProductsHaveTheBitsOfWideOnes) {
  // 64 columns or rows of weights and fewer are read in place, by other tiles.
  const Matrix x = random_matrix(61, 300, "x");
  const Matrix w = random_matrix(120, 300, "w");
  const Packed packed(w);
  Matrix wide(61, 120);
  linear(test::one_thread, rows_of(x), packed.view, rows_of(wide));
  for (const Index count : {1, 16, 17, 40, 64}) {
    Matrix thin_y(61, count);
    linear(test::one_thread, rows_of(x), packed.view.rows(32, count), rows_of(thin_y));
    for (Index t = 0; t < 61; ++t) {
      for (Index o = 0; o < count; ++o) ASSERT_EQ(thin_y(t, o), wide(t, 32 + o)) << count;
    }
  }
}

TEST(Linear, FewColumnsOfWeightsHaveTheBitsOfManyFilledUpWithZeros) {
  for (const Index k : {1, 8, 16, 63, 64}) {
    Matrix x = random_matrix(29, 100, "x");
    Matrix w = random_matrix(211, 100, "w");
    for (Matrix* m : {&x, &w}) {
      for (Index i = 0; i < m->rows(); ++i) {
        for (Index j = k; j < 100; ++j) (*m)(i, j) = 0.0F;
      }
    }
    Matrix few(211, k);
    for (Index o = 0; o < 211; ++o) std::copy_n(w.row(o).begin(), k, few.row(o).begin());
    Matrix y = random_matrix(29, 211, "y");
    Matrix expected = y;
    add_linear(test::one_thread, rows_of(x).columns(0, k), Packed(few).view, rows_of(y));
    add_linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(expected));
    ASSERT_EQ(y, expected) << k;
  }
}

TEST(Linear, SumsOverManyBlocksOfTheInputDimension) {
  const Matrix x = random_matrix(3, 2500, "x");
  const Matrix w = random_matrix(20, 2500, "w");
  Matrix y(3, 20);
  linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y));
  expect_product(x, w, y);
}

TEST(Linear, BitsOfARowDependOnNothingButTheRow) {
  constexpr Index n = 1060;  // several blocks of rows, of columns and of the sum
  const Matrix x = random_matrix(301, 1100, "x");
  const Matrix w = random_matrix(n, 1100, "w");
  const Packed packed(w);
  Matrix together(301, n);
  linear(test::one_thread, rows_of(x), packed.view, rows_of(together));
  for (const Index t : {0, 5, 11, 12, 155, 156, 299, 300}) {
    Matrix alone(1, n);
    linear(test::one_thread, rows_of(x).rows(t, 1), packed.view, rows_of(alone));
    for (Index o = 0; o < n; ++o) EXPECT_EQ(alone(0, o), together(t, o)) << t << ", " << o;
  }
}

TEST(Linear, WritesNothingBesideItsColumns) {
  const Matrix x = random_matrix(7, 9, "x");
  const Matrix w = random_matrix(21, 9, "w");
  Matrix y(7, 30);
  for (float& value : y.values()) value = 42.0F;
  linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(y).columns(4, 21));
  for (Index t = 0; t < 7; ++t) {
    for (const Index column : {0, 1, 2, 3, 25, 26, 27, 28, 29}) EXPECT_EQ(y(t, column), 42.0F);
  }
}

TEST(Linear, AddLinearAddsTheProduct) {
  const Matrix x = random_matrix(14, 33, "x");
  const Matrix w = random_matrix(18, 33, "w");
  Matrix product(14, 18);
  Matrix sum = random_matrix(14, 18, "y");
  const Matrix before = sum;
  linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(product));
  add_linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(sum));
  for (Index i = 0; i < sum.rows(); ++i) {
    for (Index j = 0; j < sum.cols(); ++j) EXPECT_EQ(sum(i, j), before(i, j) + product(i, j));
  }
}

TEST(Linear, WeightsStoredInBf16GiveTheBitsOfTheSameWeightsInF32) {
  for (const Index n : {1, 7, 13, 70}) {
    for (const Index d_out : {1, 16, 33, 80}) {
      for (const Index d_in : {1, 2, 37, 64, 1301}) {
        const Matrix x = random_matrix(n, d_in, "x");
        const Matrix w = random_bf16_matrix(d_out, d_in, "w");
        const Packed<BFloat16> packed(w);
        Matrix y(n, d_out);
        Matrix expected(n, d_out);
        linear(test::one_thread, rows_of(x), packed.view, rows_of(y));
        linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(expected));
        ASSERT_EQ(y, expected) << n << ", " << d_out << ", " << d_in;
        add_linear(test::one_thread, rows_of(x), packed.view, rows_of(y));
        add_linear(test::one_thread, rows_of(x), Packed(w).view, rows_of(expected));
        ASSERT_EQ(y, expected) << n << ", " << d_out << ", " << d_in;
      }
    }
  }
}

TEST(PackedMatrix, InBf16GivesBackItsRowsRoundedToNearest) {
  const Matrix w = random_matrix(50, 11, "w");
  const Packed<BFloat16> packed(w);
  EXPECT_EQ(packed.panels.size() * sizeof(BFloat16), packed_bytes(WeightFormat::bf16, 50, 11));
  std::vector<float> row(11);
  const auto expect_row = [&](Index i) {
    for (Index k = 0; k < 11; ++k) {
      EXPECT_EQ(row[static_cast<std::size_t>(k)], float_from_bf16(bf16_from_float(w(i, k))));
    }
  };
  for (Index i = 0; i < 50; ++i) {
    packed.view.copy_row(i, row);
    expect_row(i);
  }
  packed.view.rows(32, 18).copy_row(3, row);
  expect_row(35);
}

TEST(PackedMatrix, GivesBackItsRows) {
  const Matrix w = random_matrix(50, 11, "w");
  const Packed packed(w);
  std::vector<float> row(11);
  for (Index i = 0; i < 50; ++i) {
    packed.view.copy_row(i, row);
    for (Index k = 0; k < 11; ++k) EXPECT_EQ(row[static_cast<std::size_t>(k)], w(i, k));
  }
  packed.view.rows(32, 18).copy_row(3, row);
  for (Index k = 0; k < 11; ++k) EXPECT_EQ(row[static_cast<std::size_t>(k)], w(35, k));
}

TEST(PackedMatrix, DoesNotDependOnTheStepsOfPacking) {
  const Matrix w = random_matrix(37, 5, "w");
  AlignedFloats steps(packed_floats(37, 5), -1.0F);
  for (Index first = 0; first < 37; first += 10) {
    pack_rows(rows_of(w).rows(first, std::min(Index{10}, 37 - first)), first, 37, steps);
  }
  EXPECT_EQ(steps, Packed(w).panels);
}

TEST(PanelKernel, AllInstructionSetsGiveTheSameBits) {
#ifdef __x86_64__
  if (!__builtin_cpu_supports("avx512vl")) GTEST_SKIP() << "this CPU has no AVX-512";
  constexpr Index n = 157;  // wide tiles, pairs of panels, one panel and a narrow one
  for (const Index k : {33, 71}) {
    const Packed b(random_matrix(n, k, "b"));
    const Packed<BFloat16> half(random_matrix(n, k, "b"));
    for (const Index lda : {block_stride<float>, Index{75}}) {
      for (const Index m : {1, 5, 6, 7, 11, 12, 25}) {
        const Matrix a = random_matrix(m, lda, "a");
        for (const Store store : {Store::overwrite, Store::add, Store::extend}) {
          Matrix narrow = random_matrix(m, n, "c");
          Matrix wide = narrow;
          PanelProduct<float> product{
              m, n,    k, a.data(), lda, b.view.panels(), b.view.panel_stride(), narrow.data(),
              n, store};
          baseline_kernels().multiply_block(product);
          product.c = wide.data();
          avx512_kernels().multiply_block(product);
          ASSERT_EQ(narrow, wide) << m << ", " << k << ", " << lda;

          PanelProduct<BFloat16> in_bf16{m,
                                         n,
                                         k,
                                         a.data(),
                                         lda,
                                         half.view.panels<BFloat16>(),
                                         half.view.panel_stride(),
                                         narrow.data(),
                                         n,
                                         store};
          baseline_kernels().multiply_bf16_block(in_bf16);
          in_bf16.c = wide.data();
          avx512_kernels().multiply_bf16_block(in_bf16);
          ASSERT_EQ(narrow, wide) << m << ", " << k << ", " << lda;
        }
      }
    }
  }
#else
  GTEST_SKIP() << "one instruction set";
#endif
}

TEST(PanelKernel, ASumSplitByExtendHasTheBitsOfTheWhole) {
  for (const Index k : {70, 1500}) {
    const Matrix a = random_matrix(13, k, "a");
    const Packed b(random_matrix(21, k, "b"));
    Matrix whole(13, 21);
    Matrix split(13, 21);
    PanelProduct<float> product{13,
                                21,
                                k,
                                a.data(),
                                k,
                                b.view.panels(),
                                k * panel_width,
                                whole.data(),
                                21,
                                Store::overwrite};
    multiply_panels(product);
    product.c = split.data();
    product.k = 33;
    multiply_panels(product);
    product.k = k - 33;
    product.a += 33;
    product.b += 33 * panel_width;
    product.store = Store::extend;
    multiply_panels(product);
    EXPECT_EQ(split, whole);
  }
}

class LowRank : public testing::Test {
 protected:
  Matrix a1 = random_matrix(4, 30, "a1");
  Matrix b1 = random_matrix(20, 4, "b1");
  Matrix a2 = random_matrix(17, 30, "a2");
  Matrix b2 = random_matrix(9, 17, "b2");
  LowRankUpdate update{test::one_thread,
                       std::vector<LowRankUpdate::Part>{
                           {rows_of(std::as_const(a1)), rows_of(std::as_const(b1)), 0.5, 3},
                           {rows_of(std::as_const(a2)), rows_of(std::as_const(b2)), 2.0, 25}}};
};

TEST_F(LowRank, AddsScaledProductsToTheColumnsOfEachPart) {
  const Matrix x = random_matrix(6, 30, "x");
  Matrix y = random_matrix(6, 40, "y");
  const Matrix before = y;
  Matrix u(6, update.rank());
  update.project(test::one_thread, rows_of(x), rows_of(u));
  update.expand(test::one_thread, rows_of(u), rows_of(y));
  const auto expected = [&](Index t, Index column) {
    double sum = static_cast<double>(before(t, column));
    const auto add = [&](const Matrix& a, const Matrix& b, double scaling, Index first) {
      if (column < first || column >= first + b.rows()) return;
      for (Index r = 0; r < a.rows(); ++r) {
        sum += scaling * dot(x, t, a, r).value * static_cast<double>(b(column - first, r));
      }
    };
    add(a1, b1, 0.5, 3);
    add(a2, b2, 2.0, 25);
    return sum;
  };
  for (Index t = 0; t < 6; ++t) {
    for (Index column = 0; column < 40; ++column) {
      // 30 and 17 terms of size about 1, the inner sums of size about sqrt(30).
      EXPECT_NEAR(static_cast<double>(y(t, column)), expected(t, column), 2e-4)
          << t << ", " << column;
    }
  }
}

TEST_F(LowRank, ProjectionOfAnIdIsTheColumnOfA) {
  const std::vector<std::int32_t> ids{0, 29, 7};
  Matrix u(3, update.rank());
  update.project_one_hot(ids, rows_of(u));
  for (Index t = 0; t < 3; ++t) {
    const Index id = ids[static_cast<std::size_t>(t)];
    for (Index r = 0; r < 21; ++r) EXPECT_EQ(u(t, r), r < 4 ? a1(r, id) : a2(r - 4, id));
  }
}

TEST_F(LowRank, ExpandColumnsIsAPartOfExpand) {
  const Matrix b = random_matrix(50, 4, "b");
  const LowRankUpdate one(test::one_thread, std::vector<LowRankUpdate::Part>{
                                                {rows_of(std::as_const(a1)), rows_of(b), 0.7, 0}});
  const Matrix u = random_matrix(5, 4, "u");
  Matrix whole(5, 50);
  Matrix part(5, 18);
  one.expand(test::one_thread, rows_of(u), rows_of(whole));
  one.expand_columns(test::one_thread, rows_of(u), 32, rows_of(part));
  for (Index t = 0; t < 5; ++t) {
    for (Index i = 0; i < 18; ++i) EXPECT_EQ(part(t, i), whole(t, 32 + i));
  }
}

}  // namespace
}  // namespace d2c::ops
