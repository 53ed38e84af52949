#include <functional>

#include "d2c/core/error.hpp"

#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

constexpr double eps = 0x1p-24;

class RandomMerge : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomMerge, ::testing::Range(0u, 40u));

Ranks ranks_of(const Method& method) { return method.mixed_ranks ? Ranks::mixed : Ranks::equal; }

TEST_P(RandomMerge, OfOneAdapterWithWeightOneIsThatAdapter) {
  for (const Method& method : methods()) {
    Problem p = random_problem(GetParam(), ranks_of(method));
    p.factors.resize(1);
    p.weights = {1.0};
    EXPECT_LT((delta(p.merged(method.name)) - delta(p.factors[0])).norm(), 8 * eps * p.scale())
        << method.name;
  }
}

TEST_P(RandomMerge, CatEqualsTheSum) {
  const Problem p = random_problem(GetParam(), Ranks::mixed);
  EXPECT_LT((delta(p.merged("cat")) - p.sum()).norm(), 4 * eps * p.scale());
}

TEST_P(RandomMerge, WeightsOneAndZeroSelect) {
  for (const std::string_view method : {"average", "cat", "linear", "svd"}) {
    Problem p = random_problem(GetParam(), ranks_of(find_method(method)));
    p.weights.assign(p.factors.size(), 0.0);
    p.weights[0] = 1.0;
    EXPECT_LT((delta(p.merged(method)) - delta(p.factors[0])).norm(), 8 * eps * p.scale())
        << method;
  }
}

TEST_P(RandomMerge, DoesNotDependOnTheOrderOfMembers) {
  for (const std::string_view method : {"average", "cat", "linear"}) {
    Problem p = random_problem(GetParam(), ranks_of(find_method(method)));
    if (method == "average" && dense_truncated_svd(p.sum(), 4).relative_gap < 1e-2) continue;
    const Options options{.merged_rank = method == "average" ? 4 : 0};
    const Dense forward = delta(p.merged(method, options));
    std::ranges::reverse(p.factors);
    std::ranges::reverse(p.weights);
    EXPECT_LT((delta(p.merged(method, options)) - forward).norm(), 1e-4 * p.scale()) << method;
  }
}

TEST_P(RandomMerge, LinearHasPeftsCrossTerms) {
  const Problem p = random_problem(GetParam(), Ranks::equal);
  Dense a = Dense::Zero(p.factors[0].rank(), p.d_in);
  Dense b = Dense::Zero(p.d_out, p.factors[0].rank());
  for (std::size_t i = 0; i < p.factors.size(); ++i) {
    const double u = p.weights[i] * p.factors[i].scaling;
    a += (u < 0 ? -1 : 1) * std::sqrt(std::abs(u)) * as_eigen(p.factors[i].a).cast<double>();
    b += std::sqrt(std::abs(u)) * as_eigen(p.factors[i].b).cast<double>();
  }
  EXPECT_LT((delta(p.merged("linear")) - b * a).norm(), 4 * eps * a.norm() * b.norm());
}

TEST_P(RandomMerge, IsBitIdenticalWhenRepeated) {
  for (const Method& method : methods()) {
    const Problem p = random_problem(GetParam(), ranks_of(method));
    const lora::Factors once = p.merged(method.name);
    const lora::Factors again = p.merged(method.name);
    EXPECT_EQ(once.a, again.a) << method.name;
    EXPECT_EQ(once.b, again.b) << method.name;
  }
}

TEST_P(RandomMerge, AMemberThatLacksTheModuleContributesZero) {
  for (const Method& method : methods()) {
    const Problem p = random_problem(GetParam(), ranks_of(method));
    const lora::Factors without = p.merged(method.name);
    std::vector<Member> members = p.members();
    members.insert(members.begin() + static_cast<std::ptrdiff_t>(members.size() / 2),
                   Member{nullptr, 3.0, 77, "lacks"});
    const lora::Factors with = method.function("m", members, {});
    EXPECT_EQ(with.a, without.a) << method.name;
    EXPECT_EQ(with.b, without.b) << method.name;
  }
}

TEST(Merge, RefusesMixedRanksByModuleAndBothAdapters) {
  std::mt19937 rng(1);
  const Problem p{.d_out = 6,
                  .d_in = 5,
                  .factors = {random_factors(rng, 6, 5, 2, 1), random_factors(rng, 6, 5, 3, 1)},
                  .weights = {1, 1}};
  for (const Method& method : methods()) {
    if (method.mixed_ranks) {
      EXPECT_NO_THROW((void)p.merged(method.name)) << method.name;
    } else {
      D2C_EXPECT_ERROR((void)p.merged(method.name), InputError, "m: ", "'a0' has rank 2",
                       "'a1' has rank 3", "average, cat");
    }
  }
}

TEST(Merge, RefusesMembersOfDifferentShape) {
  std::mt19937 rng(1);
  const Problem p{.d_out = 6,
                  .d_in = 5,
                  .factors = {random_factors(rng, 6, 5, 2, 1), random_factors(rng, 6, 7, 2, 1)},
                  .weights = {1, 1}};
  for (const Method& method : methods()) {
    D2C_EXPECT_ERROR((void)p.merged(method.name), InputError, "'a0'", "[6, 5]", "'a1'", "[6, 7]");
  }
}

TEST(Merge, RefusesValuesThatAreNotFinite) {
  std::mt19937 rng(1);
  Problem p{.d_out = 6, .d_in = 5, .factors = {random_factors(rng, 6, 5, 2, 1)}, .weights = {1}};
  p.factors[0].b(3, 1) = std::numeric_limits<float>::quiet_NaN();
  for (const Method& method : methods()) {
    D2C_EXPECT_ERROR((void)p.merged(method.name), InputError, "'a0'", "not finite");
  }
}

TEST(Merge, RefusesFactorsThatDoNotFit) {
  Problem p{.d_out = 6, .d_in = 5, .factors = {{Matrix(2, 5), Matrix(6, 3), 1.0}}, .weights = {1}};
  D2C_EXPECT_ERROR((void)p.merged("cat"), InputError, "A [2, 5]", "B [6, 3]");
}

}  // namespace
}  // namespace d2c::merge::test
