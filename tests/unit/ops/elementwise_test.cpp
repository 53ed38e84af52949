#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "d2c/ops/activation.hpp"
#include "d2c/ops/norm.hpp"
#include "d2c/ops/rope.hpp"

#include "exp.hpp"
#include "panel/panel_kernel.hpp"
#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::random_matrix;

constexpr double epsilon = std::numeric_limits<float>::epsilon();

TEST(FastExp, IsWithinTwoUlpOfExp) {
  double worst = 0.0;
  for (double x = -87.3; x < 88.0; x += 1.37e-3) {
    const auto argument = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(argument));
    const double error = std::abs(static_cast<double>(fast_exp(argument)) - exact) / exact;
    worst = std::max(worst, error);
  }
  EXPECT_LE(worst, 2.0 * epsilon);
  EXPECT_EQ(fast_exp(0.0F), 1.0F);
}

TEST(FastExp, UnderflowsToZeroAndSaturates) {
  EXPECT_EQ(fast_exp(-88.0F), 0.0F);
  EXPECT_EQ(fast_exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(fast_exp(1e30F), fast_exp(88.0F));
  EXPECT_TRUE(std::isfinite(fast_exp(std::numeric_limits<float>::infinity())));
}

TEST(RmsNorm, EqualsItsEquation) {
  for (const Index width : {1, 16, 37}) {
    const Matrix x = random_matrix(5, width, "x");
    const Matrix w = random_matrix(1, width, "w");
    Matrix y(5, width);
    rms_norm(test::one_thread, rows_of(x), w.row(0), 0.1F, rows_of(y));
    for (Index t = 0; t < 5; ++t) {
      double squares = 0.0;
      for (const float value : x.row(t)) squares += std::pow(static_cast<double>(value), 2);
      const double rms = std::sqrt(squares / static_cast<double>(width) + 0.1F);
      for (Index i = 0; i < width; ++i) {
        const double expected = static_cast<double>(w(0, i)) * static_cast<double>(x(t, i)) / rms;
        EXPECT_NEAR(static_cast<double>(y(t, i)), expected, 8.0 * epsilon * std::abs(expected));
      }
    }
  }
}

TEST(LayerNorm, EqualsItsEquationWithAndWithoutBias) {
  const Index width = 45;
  const Matrix x = random_matrix(4, width, "x");
  const Matrix w = random_matrix(1, width, "w");
  const Matrix b = random_matrix(1, width, "b");
  Matrix with(4, width);
  Matrix without(4, width);
  layer_norm(test::one_thread, rows_of(x), w.row(0), b.row(0), 0.01F, rows_of(with));
  layer_norm(test::one_thread, rows_of(x), w.row(0), {}, 0.01F, rows_of(without));
  for (Index t = 0; t < 4; ++t) {
    double mean = 0.0;
    double variance = 0.0;
    for (const float value : x.row(t)) mean += static_cast<double>(value) / width;
    for (const float value : x.row(t)) {
      variance += std::pow(static_cast<double>(value) - mean, 2) / width;
    }
    for (Index i = 0; i < width; ++i) {
      const double scaled = static_cast<double>(w(0, i)) * (static_cast<double>(x(t, i)) - mean) /
                            std::sqrt(variance + 0.01F);
      EXPECT_NEAR(static_cast<double>(without(t, i)), scaled, 32.0 * epsilon);
      EXPECT_NEAR(static_cast<double>(with(t, i)), scaled + static_cast<double>(b(0, i)),
                  32.0 * epsilon);
    }
  }
}

TEST(Norm, MayWorkInPlace) {
  const Matrix x = random_matrix(3, 20, "x");
  const Matrix w = random_matrix(1, 20, "w");
  Matrix apart(3, 20);
  Matrix in_place = x;
  rms_norm(test::one_thread, rows_of(x), w.row(0), 1e-5F, rows_of(apart));
  rms_norm(test::one_thread, rows_of(in_place), w.row(0), 1e-5F, rows_of(in_place));
  EXPECT_EQ(in_place, apart);
  in_place = x;
  layer_norm(test::one_thread, rows_of(x), w.row(0), {}, 1e-5F, rows_of(apart));
  layer_norm(test::one_thread, rows_of(in_place), w.row(0), {}, 1e-5F, rows_of(in_place));
  EXPECT_EQ(in_place, apart);
}

TEST(Rotary, RotatesHalvesByPositionTimesFrequency) {
  const std::vector<double> frequencies{1.0, 0.3, 0.01};
  const Index head_dim = 8;  // the last two pass through
  RotaryTable table(frequencies, 1.25);
  table.extend_to(3);
  table.extend_to(501);
  const std::vector<Index> positions{0, 1, 17, 500};
  const Matrix before = random_matrix(4, 2 * head_dim, "x");
  Matrix x = before;
  table.rotate(test::one_thread, rows_of(x), head_dim, positions);
  for (Index t = 0; t < 4; ++t) {
    for (Index head = 0; head < 2; ++head) {
      for (Index i = 0; i < 3; ++i) {
        const double angle = static_cast<double>(positions[static_cast<std::size_t>(t)]) *
                             frequencies[static_cast<std::size_t>(i)];
        const Index first = head * head_dim + i;
        const double a = static_cast<double>(before(t, first));
        const double b = static_cast<double>(before(t, first + 3));
        const double tolerance = 4.0 * epsilon * 1.25 * std::hypot(a, b);
        EXPECT_NEAR(static_cast<double>(x(t, first)),
                    1.25 * (a * std::cos(angle) - b * std::sin(angle)), tolerance);
        EXPECT_NEAR(static_cast<double>(x(t, first + 3)),
                    1.25 * (b * std::cos(angle) + a * std::sin(angle)), tolerance);
      }
      for (Index i = 6; i < 8; ++i) EXPECT_EQ(x(t, head * 8 + i), before(t, head * 8 + i));
    }
  }
}

double exact(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
  }
  return 0.0;
}

TEST(Activations, GateEqualsActivationTimesUp) {
  for (const auto activation :
       {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    Matrix gate(1, 2001);
    Matrix up(1, 2001);
    for (Index i = 0; i < 2001; ++i) {
      gate(0, i) = static_cast<float>(i - 1000) * 0.1F;
      up(0, i) = 1.0F + static_cast<float>(i % 3);
    }
    const Matrix x = gate;
    gate_in_place(test::one_thread, activation, rows_of(gate), rows_of(up));
    for (Index i = 0; i < 2001; ++i) {
      const double argument = static_cast<double>(x(0, i));
      const double expected = exact(activation, argument) * static_cast<double>(up(0, i));
      // Near the tails 1 + tanh or 1 + erf cancels: absolute, relative to the argument.
      EXPECT_NEAR(static_cast<double>(gate(0, i)), expected,
                  8.0 * epsilon * std::abs(argument * static_cast<double>(up(0, i))))
          << "activation " << static_cast<int>(activation) << " of " << argument;
    }
  }
}

TEST(Activations, HaveTheNamesOfConfigJson) {
  EXPECT_EQ(activation_from_name("silu"), Activation::silu);
  EXPECT_EQ(activation_from_name("gelu"), Activation::gelu);
  EXPECT_EQ(activation_from_name("gelu_new"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("gelu_pytorch_tanh"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("relu"), Activation::relu);
  EXPECT_EQ(activation_from_name("xielu"), std::nullopt);
}

TEST(VectorLoops, AllInstructionSetsGiveTheSameBits) {
#ifdef __x86_64__
  if (!__builtin_cpu_supports("avx512vl")) GTEST_SKIP() << "this CPU has no AVX-512";
  const VectorLoops narrow = baseline_kernels().loops;
  const VectorLoops wide = avx512_kernels().loops;
  for (const Index n : {1, 7, 8, 15, 16, 17, 31, 40, 333}) {
    for (const float scale : {0.1F, 3.0F, 60.0F}) {
      Matrix x = test::random_matrix(1, n, "x");
      for (float& value : x.values()) value *= scale;
      const Matrix up = test::random_matrix(1, n, "up");
      Matrix y = x;
      Matrix z = x;
      const float largest = narrow.largest(x.data(), n);
      EXPECT_EQ(largest, wide.largest(x.data(), n));
      EXPECT_EQ(narrow.sum_of_exponentials(x.data(), n, largest),
                wide.sum_of_exponentials(x.data(), n, largest));
      EXPECT_EQ(narrow.exponentials(y.data(), n, largest), wide.exponentials(z.data(), n, largest));
      EXPECT_EQ(y, z);
      y = x;
      z = x;
      narrow.gate_silu(y.data(), up.data(), n);
      wide.gate_silu(z.data(), up.data(), n);
      EXPECT_EQ(y, z) << n;
    }
  }
#else
  GTEST_SKIP() << "one instruction set";
#endif
}

}  // namespace
}  // namespace d2c::ops
