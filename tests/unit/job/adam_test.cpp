#include "distill/adam.hpp"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace d2c::job {
namespace {

TEST(Adam, FollowsItsFormula) {
  std::vector<float> x{0.5F, -2.0F, 0.0F};
  std::vector<double> twin{0.5, -2.0, 0.0};
  std::vector<double> mean(3, 0.0);
  std::vector<double> square(3, 0.0);
  Adam adam(3);
  double epsilon = 0.0;
  for (int step = 1; step <= 20; ++step) {
    const std::vector<double> gradient{0.3 * std::sin(step), 1e-4 * step, 0.0};
    if (step == 1) {
      epsilon = 1e-3 * std::sqrt((std::pow(gradient[0], 2) + std::pow(gradient[1], 2)) / 3);
    }
    adam.step(x, gradient, 0.01);
    for (std::size_t i = 0; i < 3; ++i) {
      mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
      square[i] = 0.999 * square[i] + 0.001 * gradient[i] * gradient[i];
      const double m = mean[i] / (1 - std::pow(0.9, step));
      const double v = square[i] / (1 - std::pow(0.999, step));
      twin[i] -= 0.01 * m / (std::sqrt(v) + epsilon);
      EXPECT_NEAR(static_cast<double>(x[i]), twin[i], 1e-6) << step << " " << i;
    }
  }
  EXPECT_EQ(x[2], 0.0F);
}

TEST(Adam, DoesNotDependOnTheScaleOfTheLoss) {
  std::vector<float> small{1.0F, 2.0F};
  std::vector<float> large = small;
  Adam of_small(2);
  Adam of_large(2);
  for (int step = 0; step < 5; ++step) {
    const std::vector<double> gradient{1e-5, -3e-4 * step};
    of_small.step(small, gradient, 0.1);
    of_large.step(large, std::vector{gradient[0] * 1024, gradient[1] * 1024}, 0.1);
  }
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(small[i], large[i], 1e-6F);
}

TEST(Adam, StaysWhereThereIsNoGradientAtAll) {
  std::vector<float> x{1.0F};
  Adam(1).step(x, std::vector{0.0}, 0.1);
  EXPECT_EQ(x.front(), 1.0F);
}

TEST(CosineDecay, FallsFromOneToAlmostNothing) {
  EXPECT_DOUBLE_EQ(cosine_decay(0, 30), 1.0);
  EXPECT_DOUBLE_EQ(cosine_decay(15, 30), 0.5);
  EXPECT_NEAR(cosine_decay(29, 30), 0.00274, 1e-5);
  EXPECT_DOUBLE_EQ(cosine_decay(0, 1), 1.0);
}

}  // namespace
}  // namespace d2c::job
