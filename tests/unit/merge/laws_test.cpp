#include <functional>

#include "d2c/core/error.hpp"
#include "d2c/merge/module_merge.hpp"

#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

TEST(Merge, OfOneAdapterWithWeightOneIsThatAdapter) {
  for (const Method& method : methods()) {
    if (method.name == "core_iso") continue;  // evens out the singular values
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](Problem p) {
      p.factors.resize(1);
      p.weights = {1.0};
      // A rank above d_in or d_out is cut to it, which merges units of one adapter.
      if (method.name == "lego" && p.factors[0].rank() > std::min(p.d_in, p.d_out)) return;
      EXPECT_LT((delta(p.merged(method.name)) - delta(p.factors[0])).norm(), 8 * eps * p.scale());
    });
  }
}

TEST(Merge, CatEqualsTheSum) {
  on_random_problems(Ranks::mixed, [](const Problem& p) {
    EXPECT_LT((delta(p.merged("cat")) - p.sum()).norm(), 4 * eps * p.scale());
  });
}

TEST(Merge, WeightsOneAndZeroSelect) {
  for (const std::string_view method :
       {"average", "cat", "linear", "svd", "magnitude_prune", "magnitude_prune_svd", "dare_linear",
        "dare_linear_svd", "regmean", "regmean_datafree"}) {
    SCOPED_TRACE(method);
    on_random_problems(ranks_of(find_method(method)), [&](Problem p) {
      p.weights.assign(p.factors.size(), 0.0);
      p.weights[0] = 1.0;
      EXPECT_LT((delta(p.merged(method)) - delta(p.factors[0])).norm(), 8 * eps * p.scale());
    });
  }
}

TEST(Merge, DoesNotDependOnTheOrderOfMembers) {
  for (const Method& method : methods()) {
    if (method.name == "lego") continue;  // seeding picks units by number
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](const Problem& p) {
      // At full rank nothing is cut, so that close singular values cannot change places.
      const Options options{.merged_rank = method.uses_merged_rank ? 100 : 0,
                            .density = method.uses_density ? 0.6 : 1.0};
      std::vector<Member> members = p.members();
      const Dense forward = delta(method.function("m", members, options));
      std::ranges::reverse(members);
      const Dense backward = delta(method.function("m", members, options));
      EXPECT_LT((forward - backward).norm(), 1e-4 * forward.norm() + 64 * eps * p.scale());
    });
  }
}

TEST(Merge, OfMembersThatComeAndGoIsThatOfAllTogether) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](const Problem& p) {
      for (const double density : {1.0, 0.6}) {
        if (density < 1 && !method.uses_density) continue;
        const Options options{.density = density};
        UnitShape shape{p.d_out, p.d_in, std::ssize(p.factors), 0, 0};
        for (const lora::Factors& f : p.factors) {
          shape.total_rank += f.rank();
          shape.largest_rank = std::max(shape.largest_rank, f.rank());
        }
        const auto merge = start_merge(method, std::string("m"), shape, options);
        for (const Member& member : p.members()) {
          lora::Factors visitor = *member.factors;
          Member visiting = member;
          visiting.factors = &visitor;
          merge->add(visiting);
          std::ranges::fill(visitor.a.values(), std::nanf(""));
          std::ranges::fill(visitor.b.values(), std::nanf(""));
        }
        const lora::Factors streamed = merge->finish();
        const lora::Factors together = method.function("m", p.members(), options);
        EXPECT_EQ(streamed.a, together.a);
        EXPECT_EQ(streamed.b, together.b);
      }
    });
  }
}

TEST(Merge, OfThousandsOfMembersKeepsNoneOfThem) {
  for (const std::string_view name :
       {"average", "svd", "linear", "ties", "dare_linear", "dare_ties", "magnitude_prune",
        "dare_linear_svd", "regmean", "regmean_datafree"}) {
    const Options options{.merged_rank = 0, .density = find_method(name).uses_density ? 1.0 : 0.0};
    EXPECT_FALSE(holds_all_members(find_method(name), options)) << name;
  }
  for (const std::string_view name : {"cat", "ties_svd", "core_ties", "knots_ties", "lego"}) {
    EXPECT_TRUE(holds_all_members(find_method(name), {})) << name;
  }
  std::mt19937 rng(1);
  constexpr Index n = 3000;
  constexpr Index rank = 4;
  Dense sum = Dense::Zero(20, 30);
  double scale = 0;
  const auto merge =
      start_merge(find_method("average"), "m", {20, 30, n, n * rank, rank}, {.merged_rank = 20});
  for (Index i = 0; i < n; ++i) {
    const lora::Factors f = test::random_factors(rng, 20, 30, rank, 0.5);
    const double weight = (i % 3 == 0 ? -1.0 : 1.0) / static_cast<double>(n);
    merge->add({&f, weight, static_cast<std::uint64_t>(i), "a"});
    sum += weight * delta(f);
    scale += std::abs(weight) * delta(f).norm();
  }
  EXPECT_LT((delta(merge->finish()) - sum).norm(), 8 * eps * scale);
}

TEST(Merge, LinearHasPeftsCrossTerms) {
  on_random_problems(Ranks::equal, [](const Problem& p) {
    Dense a = Dense::Zero(p.factors[0].rank(), p.d_in);
    Dense b = Dense::Zero(p.d_out, p.factors[0].rank());
    for (std::size_t i = 0; i < p.factors.size(); ++i) {
      const double u = p.weights[i] * p.factors[i].scaling;
      a += (u < 0 ? -1 : 1) * std::sqrt(std::abs(u)) * as_eigen(p.factors[i].a).cast<double>();
      b += std::sqrt(std::abs(u)) * as_eigen(p.factors[i].b).cast<double>();
    }
    EXPECT_LT((delta(p.merged("linear")) - b * a).norm(), 4 * eps * a.norm() * b.norm());
  });
}

TEST(Merge, IsBitIdenticalWhenRepeated) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](const Problem& p) {
      const lora::Factors once = p.merged(method.name);
      const lora::Factors again = p.merged(method.name);
      EXPECT_EQ(once.a, again.a);
      EXPECT_EQ(once.b, again.b);
    });
  }
}

TEST(Merge, AMemberThatLacksTheModuleContributesZero) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](const Problem& p) {
      const lora::Factors without = p.merged(method.name);
      std::vector<Member> members = p.members();
      members.insert(members.begin() + static_cast<std::ptrdiff_t>(members.size() / 2),
                     Member{nullptr, 3.0, 77, "lacks"});
      const lora::Factors with = method.function("m", members, {.density = 1});
      EXPECT_EQ(with.a, without.a);
      EXPECT_EQ(with.b, without.b);
    });
  }
}

TEST(Merge, RankIsTheWantedOneUpToTheShapeAndScalingIsOne) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    on_random_problems(ranks_of(method), [&](const Problem& p) {
      for (const Index wanted : {1, 5, 100}) {
        const Options options{.merged_rank = method.uses_merged_rank ? wanted : 0};
        const lora::Factors merged = p.merged(method.name, options);
        if (method.uses_merged_rank) {
          EXPECT_EQ(merged.rank(), std::min({wanted, p.d_in, p.d_out}));
        }
        EXPECT_EQ(merged.b.cols(), merged.rank());
        EXPECT_EQ(merged.d_in(), p.d_in);
        EXPECT_EQ(merged.d_out(), p.d_out);
        EXPECT_EQ(merged.scaling, 1.0);
      }
    });
  }
}

TEST(Merge, OfZeroAdaptersIsZero) {
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    Problem p{.d_out = 6, .d_in = 5, .factors = {}, .weights = {0.5, 0.5}};
    p.factors.assign(2, lora::Factors{Matrix(3, 5), Matrix(6, 3), 1.0});
    const Options options{.density = method.uses_density ? 0.5 : 1.0};
    EXPECT_EQ(delta(p.merged(method.name, options)), Dense::Zero(6, 5));
  }
}

TEST(Merge, OfAZeroAndAnotherAdapterIsFinite) {
  std::mt19937 rng(2);
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.name);
    const Problem p{.d_out = 6,
                    .d_in = 5,
                    .factors = {{Matrix(2, 5), Matrix(6, 2), 1.0}, random_factors(rng, 6, 5, 2, 1)},
                    .weights = {0.0, 0.5}};
    EXPECT_TRUE(delta(p.merged(method.name)).allFinite());
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
