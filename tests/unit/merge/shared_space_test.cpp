#include <numeric>

#include "algebra/elementwise.hpp"
#include "merge_test_support.hpp"
#include "methods/core_space.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

Index numerical_rank(const Eigen::VectorXd& s) { return (s.array() > 1e-10 * s[0]).count(); }

Dense side_by_side(const std::vector<Dense>& blocks) {
  Index cols = 0;
  for (const Dense& block : blocks) cols += block.cols();
  Dense result(blocks[0].rows(), cols);
  cols = 0;
  for (const Dense& block : blocks) {
    result.middleCols(cols, block.cols()) = block;
    cols += block.cols();
  }
  return result;
}

Dense ties_of(const std::vector<Dense>& tasks, const std::vector<double>& weights,
              const Options& options) {
  std::vector<EigenRowMajor> rounded_tasks;
  for (const Dense& task : tasks) rounded_tasks.push_back(task.cast<float>());
  return ties(std::move(rounded_tasks), weights, options).cast<double>();
}

/// Left singular vectors of the columns of all members' factors.
Dense basis(const Problem& p, bool of_a) {
  std::vector<Dense> parts;
  for (const lora::Factors& f : p.factors) {
    parts.push_back(of_a ? Dense(as_eigen(f.a).transpose().cast<double>())
                         : Dense(as_eigen(f.b).cast<double>()));
  }
  const Svd svd = dense_svd(side_by_side(parts));
  return svd.u.leftCols(numerical_rank(svd.s));
}

// Problems whose total rank stays below both dimensions, as in practice.
Problem thin_problem(unsigned seed) {
  std::mt19937 rng(seed);
  Problem p{.d_out = 25, .d_in = 31, .factors = {}, .weights = {}};
  for (int i = 0; i < 3; ++i) {
    p.factors.push_back(random_factors(rng, 25, 31, 2 + (static_cast<int>(seed) + i) % 4, 0.5 + i));
    p.weights.push_back(0.6 - 0.4 * i);
  }
  return p;
}

template <typename Check>
void on_thin_problems(Check check) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(seed);
    check(thin_problem(seed));
  }
}

TEST(CoreSpace, HoldsTheUpdatesExactly) {
  on_random_problems(Ranks::mixed, [](const Problem& p) {
    const CoreSpace space = core_space(check_members("m", p.members()));
    for (std::size_t i = 0; i < p.factors.size(); ++i) {
      const Dense update = delta(p.factors[i]);
      EXPECT_LT((space.u * space.cores[i] * space.v.transpose() - update).norm(),
                1e-12 * p.scale() + 1e-12 * update.norm());
    }
    EXPECT_LT((space.u.transpose() * space.u).eval().norm(),
              std::sqrt(static_cast<double>(space.u.cols())) * (1 + 1e-12));
  });
}

TEST(CoreTies, IsTiesInTheSingularBasesOfTheStackedFactors) {
  on_thin_problems([](const Problem& p) {
    const Options options{.merged_rank = 20, .density = 0.4};
    const Dense u = basis(p, false);
    const Dense v = basis(p, true);
    std::vector<Dense> cores;
    for (const lora::Factors& f : p.factors) cores.push_back(u.transpose() * delta(f) * v);
    const Dense twin = u * ties_of(cores, p.weights, options) * v.transpose();
    EXPECT_LT((delta(p.merged("core_ties", options)) - twin).norm(), 1e-5 * p.scale());
  });
}

TEST(CoreTsv, IsTaskSingularVectorMergingOfTheFullUpdates) {
  on_thin_problems([](const Problem& p) {
    std::vector<Dense> left;
    std::vector<Dense> right;
    std::vector<double> values;
    for (std::size_t i = 0; i < p.factors.size(); ++i) {
      const Svd svd = dense_svd(delta(p.factors[i]));
      const Index r = p.factors[i].rank();
      left.emplace_back(svd.u.leftCols(r));
      right.emplace_back(svd.v.leftCols(r));
      for (Index j = 0; j < r; ++j) values.push_back(p.weights[i] * svd.s[j]);
    }
    const Svd u = dense_svd(side_by_side(left));
    const Svd v = dense_svd(side_by_side(right));
    const Dense twin =
        u.u * u.v.transpose() *
        Eigen::VectorXd::Map(values.data(), static_cast<Index>(values.size())).asDiagonal() * v.v *
        v.u.transpose();
    EXPECT_LT((delta(p.merged("core_tsv", {.merged_rank = 25})) - twin).norm(), 1e-5 * p.scale());
  });
}

TEST(CoreTsv, OfOrthogonalAdaptersIsTheirSum) {
  Problem p{.d_out = 6, .d_in = 6, .factors = {}, .weights = {2, 3}};
  for (int i = 0; i < 2; ++i) {
    lora::Factors f{Matrix(2, 6), Matrix(6, 2), 1.0};
    for (Index j = 0; j < 2; ++j) {
      f.a(j, 2 * i + j) = static_cast<float>(j + 1);
      f.b(2 * i + j, j) = 1;
    }
    p.factors.push_back(f);
  }
  EXPECT_LT((delta(p.merged("core_tsv", {.merged_rank = 4})) - p.sum()).norm(), 1e-5);
}

/// With one A for all, the right basis has fewer directions than there are tasks.
TEST(CoreTsv, KeepsSomethingOfEveryTaskInANarrowBasis) {
  std::mt19937 rng(4);
  Problem p{.d_out = 20, .d_in = 10, .factors = {}, .weights = {1, 1, 1}};
  for (int i = 0; i < 3; ++i) {
    p.factors.push_back(random_factors(rng, 20, 10, 2, 1));
    p.factors.back().a = p.factors.front().a;
  }
  EXPECT_GT(delta(p.merged("core_tsv")).norm(), 0.1 * p.sum().norm());
}

TEST(CoreIso, HasTheSumsDirectionsAndItsMeanSingularValue) {
  on_thin_problems([](const Problem& p) {
    const Svd svd = dense_svd(p.sum());
    const Index total = basis(p, false).cols();
    const double mean = svd.s.head(total).mean();
    for (const Index rank : {Index{3}, total}) {
      const Dense twin = mean * svd.u.leftCols(rank) * svd.v.leftCols(rank).transpose();
      EXPECT_LT((delta(p.merged("core_iso", {.merged_rank = rank})) - twin).norm(),
                1e-5 * p.scale());
    }
  });
}

TEST(KnotsTies, IsTiesInTheBasisOfTheUpdatesSideBySide) {
  on_thin_problems([](const Problem& p) {
    const Options options{.merged_rank = 25, .density = 0.4};
    std::vector<Dense> deltas;
    for (const lora::Factors& f : p.factors) deltas.push_back(delta(f));
    const Svd svd = dense_svd(side_by_side(deltas));
    const Index k = numerical_rank(svd.s);
    std::vector<Dense> tasks;
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      tasks.emplace_back(
          svd.s.head(k).asDiagonal() *
          svd.v.middleRows(static_cast<Index>(i) * p.d_in, p.d_in).leftCols(k).transpose());
    }
    const Dense twin = svd.u.leftCols(k) * ties_of(tasks, p.weights, options);
    EXPECT_LT((delta(p.merged("knots_ties", options)) - twin).norm(), 1e-5 * p.scale());
  });
}

// Every member holds the same units in another order: rank-wise clustering finds them.
TEST(Lego, RecoversUnitsThatMembersHoldInDifferentOrder) {
  std::mt19937 rng(6);
  const lora::Factors common = random_factors(rng, 30, 40, 4, 0.5);
  std::normal_distribution<float> noise(0, 1e-3F);
  Problem p{.d_out = 30, .d_in = 40, .factors = {}, .weights = {0.25, 0.25, 0.25, 0.25}};
  std::vector<Index> order = {0, 1, 2, 3};
  for (int i = 0; i < 4; ++i) {
    std::ranges::shuffle(order, rng);
    lora::Factors f = common;
    for (Index j = 0; j < 4; ++j) {
      as_eigen(f.a).row(j) = as_eigen(common.a).row(order[static_cast<std::size_t>(j)]);
      as_eigen(f.b).col(j) = as_eigen(common.b).col(order[static_cast<std::size_t>(j)]);
    }
    for (float& x : f.a.values()) x += noise(rng);
    p.factors.push_back(f);
  }
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Dense merged = delta(p.merged("lego", {.merged_rank = 4, .seed = seed}));
    EXPECT_LT((merged - delta(common)).norm(), 0.01 * delta(common).norm()) << seed;
  }
}

TEST(Lego, FillsUnitsThatAreLackingWithZeros) {
  std::mt19937 rng(6);
  const Problem p{
      .d_out = 9, .d_in = 8, .factors = {random_factors(rng, 9, 8, 2, 1)}, .weights = {1}};
  const lora::Factors merged = p.merged("lego", {.merged_rank = 5});
  EXPECT_EQ(merged.rank(), 5);
  EXPECT_EQ(as_eigen(merged.a).bottomRows(3).norm(), 0);
  EXPECT_EQ(as_eigen(merged.b).rightCols(3).norm(), 0);
}

}  // namespace
}  // namespace d2c::merge::test
