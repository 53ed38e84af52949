#include <cmath>
#include <numeric>

#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

// Straightforward twins of peft/utils/merge_utils.py on dense double matrices.

/// The int(density n) largest magnitudes, by sorting all of them.
Dense prune_by_sorting(const Dense& m, double density) {
  const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = m;
  std::vector<Index> order(static_cast<std::size_t>(rows.size()));
  std::iota(order.begin(), order.end(), Index{0});
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](Index i) { return std::abs(static_cast<float>(rows.data()[i])); });
  order.resize(static_cast<std::size_t>(density * static_cast<double>(order.size())));
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> kept = 0.0 * rows;
  for (const Index i : order) kept.data()[i] = rows.data()[i];
  return kept;
}

Dense weighted_sum(const std::vector<Dense>& tasks, const std::vector<double>& weights) {
  Dense sum = 0.0 * tasks[0];
  for (std::size_t i = 0; i < tasks.size(); ++i) sum += weights[i] * tasks[i];
  return sum;
}

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

Dense elect_and_merge(const std::vector<Dense>& tasks, const std::vector<double>& weights,
                      MajoritySign method) {
  Dense result = 0.0 * tasks[0];
  for (Index row = 0; row < result.rows(); ++row) {
    for (Index col = 0; col < result.cols(); ++col) {
      double vote = 0;
      for (const Dense& task : tasks) {
        vote += method == MajoritySign::total ? task(row, col) : sign(task(row, col));
      }
      double sum = 0;
      double agreeing = 0;
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (sign(tasks[i](row, col)) == (vote >= 0 ? 1 : -1)) {
          sum += weights[i] * tasks[i](row, col);
          agreeing += 1;
        }
      }
      result(row, col) = sum / std::max(agreeing, 1.0);
    }
  }
  return result;
}

Dense apply(std::string_view method, std::vector<Dense> tasks, const std::vector<double>& weights,
            const Options& options) {
  for (Dense& task : tasks) task = prune_by_sorting(task, options.density);
  return method.starts_with("ties") ? elect_and_merge(tasks, weights, options.majority_sign)
                                    : weighted_sum(tasks, weights);
}

const std::vector<Options>& option_sets() {
  static const std::vector<Options> sets = {
      {.density = 1.0},
      {.density = 0.5},
      {.density = 0.3, .majority_sign = MajoritySign::frequency},
      {.density = 0.05},
  };
  return sets;
}

TEST(Operators, OnTheFactorsEqualTheirTwinsOnAAndB) {
  for (const std::string_view method : {"ties", "magnitude_prune"}) {
    SCOPED_TRACE(method);
    on_random_problems(Ranks::equal, [&](const Problem& p) {
      std::vector<Dense> a;
      std::vector<Dense> b;
      std::vector<double> weights_a;
      std::vector<double> weights_b;
      for (std::size_t i = 0; i < p.factors.size(); ++i) {
        const double u = p.weights[i] * p.factors[i].scaling;
        a.push_back(as_eigen(p.factors[i].a).cast<double>());
        b.push_back(as_eigen(p.factors[i].b).cast<double>());
        weights_a.push_back(sign(u) * std::sqrt(std::abs(u)));
        weights_b.push_back(std::sqrt(std::abs(u)));
      }
      for (const Options& options : option_sets()) {
        const lora::Factors merged = p.merged(method, options);
        const Dense twin_a = apply(method, a, weights_a, options);
        const Dense twin_b = apply(method, b, weights_b, options);
        EXPECT_LT((as_eigen(merged.a).cast<double>() - twin_a).norm(), eps * twin_a.norm() + 1e-30);
        EXPECT_LT((as_eigen(merged.b).cast<double>() - twin_b).norm(), eps * twin_b.norm() + 1e-30);
      }
    });
  }
}

TEST(Operators, OnTheUpdatesEqualTheirTwinsAtFullRank) {
  for (const std::string_view method : {"ties_svd", "magnitude_prune_svd"}) {
    SCOPED_TRACE(method);
    on_random_problems(Ranks::mixed, [&](const Problem& p) {
      std::vector<Dense> deltas;
      for (const lora::Factors& f : p.factors) deltas.push_back(delta(f));
      for (Options options : option_sets()) {
        options.merged_rank = 100;
        const Dense twin = apply(method, deltas, p.weights, options);
        EXPECT_LT((delta(p.merged(method, options)) - twin).norm(), 16 * eps * p.scale());
      }
    });
  }
}

TEST(Operators, OnTheUpdatesAreTruncatedAsWellAsTheDenseSvd) {
  on_random_problems(Ranks::mixed, [&](const Problem& p) {
    const Dense full = delta(p.merged("ties_svd", {.merged_rank = 100, .density = 0.5}));
    const Dense merged = delta(p.merged("ties_svd", {.merged_rank = 2, .density = 0.5}));
    EXPECT_NEAR((merged - full).norm(), dense_truncated_svd(full, 2).error, 16 * eps * p.scale());
  });
}

// Both dimensions beyond the size where the truncated solver takes over; the updates take several
// blocks of rows.
TEST(Operators, OnLargeUpdatesAreTruncatedAsWellAsTheDenseSvd) {
  std::mt19937 rng(11);
  for (const auto& [d_out, d_in] : {std::pair<Index, Index>{300, 4000}, {310, 200}}) {
    Problem p{.d_out = d_out, .d_in = d_in, .factors = {}, .weights = {0.7, 0.5}};
    for (int i = 0; i < 2; ++i) p.factors.push_back(random_factors(rng, d_out, d_in, 3, 1.0));
    const Options options{.merged_rank = 4, .density = 0.6};
    std::vector<Dense> deltas = {delta(p.factors[0]), delta(p.factors[1])};
    const Dense twin = apply("magnitude_prune", deltas, p.weights, options);
    const Truncation best = dense_truncated_svd(twin, 4);
    const Dense merged = delta(p.merged("magnitude_prune_svd", options));
    EXPECT_NEAR((merged - twin).norm(), best.error, 1e-6 * twin.norm());
    EXPECT_LT((merged - best.matrix).norm(), 1e-6 * twin.norm() / best.relative_gap);
  }
}

TEST(Operators, OfEqualMagnitudesTheFirstAreKept) {
  Problem p{.d_out = 1, .d_in = 4, .factors = {{Matrix(1, 4), Matrix(1, 1), 1.0}}, .weights = {1}};
  for (Index i = 0; i < 4; ++i) p.factors[0].a(0, i) = i % 2 == 0 ? 2.0F : -2.0F;
  p.factors[0].b(0, 0) = 1;
  const Dense merged = delta(p.merged("magnitude_prune_svd", {.density = 0.75}));
  EXPECT_LT((merged - Eigen::RowVector4d(2, -2, 2, 0)).norm(), 1e-6);
}

TEST(Operators, ADensityThatKeepsNothingGivesZero) {
  std::mt19937 rng(1);
  const Problem p{
      .d_out = 3, .d_in = 3, .factors = {random_factors(rng, 3, 3, 1, 1)}, .weights = {1}};
  for (const std::string_view method : {"ties", "ties_svd", "magnitude_prune_svd"}) {
    EXPECT_EQ(delta(p.merged(method, {.density = 0.1})), Dense::Zero(3, 3)) << method;
  }
}

Problem dare_problem() {
  std::mt19937 rng(8);
  return {.d_out = 60,
          .d_in = 50,
          .factors = {random_factors(rng, 60, 50, 4, 0.5), random_factors(rng, 60, 50, 4, 2.0)},
          .weights = {1.0, 0.0}};
}

TEST(Dare, KeepsTheWantedShareAndRescalesIt) {
  const Problem p = dare_problem();
  const Options options{.merged_rank = 100, .density = 0.3};
  const Dense merged = delta(p.merged("dare_linear_svd", options));
  const Dense original = delta(p.factors[0]);
  int kept = 0;
  for (Index i = 0; i < merged.size(); ++i) {
    if (std::abs(merged.data()[i]) < 1e-4) continue;
    ++kept;
    EXPECT_NEAR(merged.data()[i], original.data()[i] / 0.3, 1e-4);
  }
  const double n = static_cast<double>(merged.size());
  EXPECT_NEAR(kept / n, 0.3, 4 * std::sqrt(0.3 * 0.7 / n));
}

TEST(Dare, DrawsOfAnAdapterDependOnSeedAdapterAndModuleAlone) {
  const Problem p = dare_problem();
  for (const std::string_view name : {"dare_linear", "dare_ties", "dare_linear_svd"}) {
    const Method& method = find_method(name);
    const Options options{.density = 0.5, .seed = 3};
    const std::vector<Member> both = p.members();
    const std::vector<Member> alone = {both[0]};
    const std::vector<Member> second = {both[1]};
    std::vector<Member> renumbered = alone;
    renumbered[0].adapter = 9;
    const Dense reference = delta(method.function("m", alone, options));
    if (name != "dare_ties") {
      const std::vector<Member> swapped = {both[1], both[0]};
      EXPECT_LT((delta(method.function("m", both, options)) - reference).norm(), 1e-4) << name;
      EXPECT_LT((delta(method.function("m", swapped, options)) - reference).norm(), 1e-4) << name;
    }
    EXPECT_GT((delta(method.function("n", alone, options)) - reference).norm(), 1) << name;
    EXPECT_GT((delta(method.function("m", renumbered, options)) - reference).norm(), 1) << name;
    const Options reseeded{.density = 0.5, .seed = 4};
    EXPECT_GT((delta(method.function("m", alone, reseeded)) - reference).norm(), 1) << name;
  }
}

TEST(Dare, AtFullDensityIsTheMethodWithoutDrops) {
  on_random_problems(Ranks::equal, [](const Problem& p) {
    EXPECT_EQ(p.merged("dare_linear").a, p.merged("linear").a);
    EXPECT_EQ(p.merged("dare_ties").b, p.merged("ties").b);
    EXPECT_EQ(p.merged("dare_linear_svd").a, p.merged("svd").a);
    EXPECT_EQ(p.merged("dare_ties_svd").b, p.merged("ties_svd").b);
  });
}

TEST(Dare, IsUnbiased) {
  std::mt19937 rng(5);
  const Problem p{
      .d_out = 8, .d_in = 6, .factors = {random_factors(rng, 8, 6, 2, 1)}, .weights = {1}};
  Dense mean = Dense::Zero(8, 6);
  constexpr int draws = 2000;
  for (std::uint64_t seed = 0; seed < draws; ++seed) {
    mean += delta(p.merged("dare_linear_svd", {.merged_rank = 6, .density = 0.5, .seed = seed}));
  }
  mean /= draws;
  // At density 1/2 an entry x is 0 or 2x: standard deviation |x|.
  const Dense original = delta(p.factors[0]);
  for (Index i = 0; i < mean.size(); ++i) {
    EXPECT_NEAR(mean.data()[i], original.data()[i],
                4.5 * std::abs(original.data()[i]) / std::sqrt(draws) + 1e-5);
  }
}

}  // namespace
}  // namespace d2c::merge::test
