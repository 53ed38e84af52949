#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

TEST(Average, IsAsCloseToTheSumAsTheDenseTruncatedSvd) {
  on_random_problems(Ranks::mixed, [](const Problem& p) {
    for (const Index rank : {Index{1}, Index{3}, Index{8}}) {
      const Truncation best = dense_truncated_svd(p.sum(), rank);
      const double error = (delta(p.merged("average", {.merged_rank = rank})) - p.sum()).norm();
      EXPECT_NEAR(error, best.error, 8 * eps * p.scale()) << "rank " << rank;
    }
  });
}

TEST(Average, EqualsTheDenseTruncatedSvdWhereThatIsWellConditioned) {
  on_random_problems(Ranks::mixed, [](const Problem& p) {
    const Truncation best = dense_truncated_svd(p.sum(), 3);
    if (best.relative_gap < 1e-3) return;
    const Dense merged = delta(p.merged("average", {.merged_rank = 3}));
    EXPECT_LT((merged - best.matrix).norm(), 16 * eps * p.scale() / best.relative_gap);
  });
}

TEST(Average, FactorsAreBalanced) {
  on_random_problems(Ranks::mixed, [](const Problem& p) {
    const lora::Factors merged = p.merged("average", {.merged_rank = 4});
    const Dense inner_a =
        as_eigen(merged.a).cast<double>() * as_eigen(merged.a).cast<double>().transpose();
    const Dense inner_b =
        as_eigen(merged.b).cast<double>().transpose() * as_eigen(merged.b).cast<double>();
    EXPECT_LT((inner_a - inner_b).norm(), 1e-5 * p.scale());
    EXPECT_LT((inner_a - Dense(inner_a.diagonal().asDiagonal())).norm(), 1e-5 * p.scale());
  });
}

TEST(Average, OfMoreUnitsThanRowsTakesTheDenseRouteToTheSameResult) {
  std::mt19937 rng(3);
  Problem p{.d_out = 7, .d_in = 30, .factors = {}, .weights = {}};
  for (int i = 0; i < 5; ++i) {
    p.factors.push_back(random_factors(rng, 7, 30, 4, 0.5));
    p.weights.push_back(0.2);
  }
  const Truncation best = dense_truncated_svd(p.sum(), 4);
  EXPECT_LT((delta(p.merged("average", {.merged_rank = 4})) - best.matrix).norm(),
            16 * eps * p.scale() / best.relative_gap);
}

// Enough units for the truncated eigensolver.
TEST(Average, OfManyAdaptersEqualsTheDenseTruncatedSvd) {
  std::mt19937 rng(9);
  Problem p{.d_out = 200, .d_in = 190, .factors = {}, .weights = {}};
  const lora::Factors common = random_factors(rng, 200, 190, 4, 1.0);
  for (int i = 0; i < 40; ++i) {
    p.factors.push_back(random_factors(rng, 200, 190, 4, 1.0));
    as_eigen(p.factors.back().a) += as_eigen(common.a);
    as_eigen(p.factors.back().b) += as_eigen(common.b);
    p.weights.push_back(1.0 / 40);
  }
  for (const Index rank : {4, 6}) {
    const Truncation best = dense_truncated_svd(p.sum(), rank);
    EXPECT_LT((delta(p.merged("average", {.merged_rank = rank})) - best.matrix).norm(),
              16 * eps * p.scale() / best.relative_gap);
  }
}

TEST(Average, OfAnAdapterAndItsNegativeIsZero) {
  std::mt19937 rng(4);
  Problem p{.d_out = 20, .d_in = 30, .factors = {}, .weights = {1, -1}};
  p.factors.push_back(random_factors(rng, 20, 30, 4, 2));
  p.factors.push_back(p.factors[0]);
  EXPECT_LT(delta(p.merged("average")).norm(), eps * p.scale());
}

TEST(Average, SurvivesUnitsOfVeryDifferentSize) {
  std::mt19937 rng(5);
  Problem p{.d_out = 30, .d_in = 25, .factors = {}, .weights = {1e8, 1e-8}};
  p.factors.push_back(random_factors(rng, 30, 25, 3, 1e-6));
  p.factors.push_back(random_factors(rng, 30, 25, 3, 1e6));
  // A is large where B is small: only their product counts.
  for (float& x : p.factors[0].a.values()) x *= 1e12F;
  for (float& x : p.factors[0].b.values()) x *= 1e-12F;
  const lora::Factors merged = p.merged("average", {.merged_rank = 6});
  EXPECT_LT((delta(merged) - p.sum()).norm(), 8 * eps * p.scale());
}

}  // namespace
}  // namespace d2c::merge::test
