#include "weights/similarity.hpp"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

namespace d2c::cluster {
namespace {

/// V diag(values) V^T of the orthogonal matrix V = I - 2 u u^T / |u|^2.
SymmetricMatrix with_eigenvalues(const std::vector<double>& values, std::vector<double>& v) {
  const std::size_t n = values.size();
  double squared = 0;
  for (std::size_t i = 0; i < n; ++i) squared += (1.0 + i) * (1.0 + i);
  v.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      v[i * n + j] = (i == j ? 1.0 : 0.0) - 2 * (1.0 + i) * (1.0 + j) / squared;
  SymmetricMatrix matrix{static_cast<int>(n), std::vector<double>(n * n)};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < n; ++k)
        matrix.values[i * n + j] += v[i * n + k] * values[k] * v[j * n + k];
  return matrix;
}

TEST(Eigenvectors, AreThoseOfTheLargestEigenvaluesInOrder) {
  std::vector<double> v;
  const std::vector<double> values{0.1, 2.0, 0.3, 1.5, 0.0, 0.2, 3.0, 0.4, 0.6, 0.5};
  const SymmetricMatrix matrix = with_eigenvalues(values, v);
  CounterRng rng(1, 1);
  const std::vector<double> found = leading_eigenvectors(matrix, 3, rng);
  const std::vector<std::size_t> expected{6, 1, 3};
  for (std::size_t j = 0; j < 3; ++j) {
    double dot = 0;
    for (std::size_t i = 0; i < 10; ++i) dot += found[i * 3 + j] * v[i * 10 + expected[j]];
    EXPECT_NEAR(std::abs(dot), 1.0, 1e-8) << j;
  }
}

TEST(Eigenvectors, OfAMatrixOfLowRankAreOrthonormalWhereTheyExist) {
  const SymmetricMatrix ones{6, std::vector<double>(36, 1.0)};
  CounterRng rng(1, 1);
  const std::vector<double> found = leading_eigenvectors(ones, 2, rng);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(std::abs(found[2 * i]), 1 / std::sqrt(6.0), 1e-9);
}

TEST(AverageLinkage, MergesByTheMeanOfAllPairs) {
  // The nearest pair of {0, 1} and {2} is 0.6, their mean 0.35; that of {2} and {3} is 0.5.
  const SimilarityMatrix s(
      std::vector<double>{1, .9, .6, 0, .9, 1, .1, 0, .6, .1, 1, .5, 0, 0, .5, 1});
  EXPECT_EQ(average_linkage(s, 2).assignment(), (Assignment{0, 0, 1, 1}));
}

TEST(KernelKmeans, FindsTheBestPartitionOfPointsOnALine) {
  const std::vector<double> x{0, 1, 2, 10, 11, 30};
  std::vector<double> gram;
  for (const double a : x)
    for (const double b : x) gram.push_back(a * b);
  CounterRng rng(1, 1);
  EXPECT_EQ(kernel_kmeans(gram, 3, rng).canonical().assignment(), (Assignment{0, 0, 0, 1, 1, 2}));
}

TEST(KernelKmeans, IdenticalItemsFillAllClusters) {
  const std::vector<double> same(25, 1.0);
  CounterRng rng(1, 1);
  EXPECT_EQ(kernel_kmeans(same, 3, rng).n_nonempty(), 3);
}

TEST(Spectral, SeparatesChainsByTheirLinks) {
  // Two chains: neighbours are similar, ends of a chain are not.
  std::vector<double> s(144, 0.0);
  for (int a = 0; a < 12; ++a)
    for (int b = 0; b < 12; ++b)
      if (a / 6 == b / 6 && std::abs(a - b) <= 1)
        s[12 * static_cast<std::size_t>(a) + static_cast<std::size_t>(b)] = a == b ? 1.0 : 0.8;
  CounterRng rng(1, 1);
  EXPECT_EQ(spectral(s, 2, rng).canonical().assignment(),
            (Assignment{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
}

TEST(ReducedCosine, KeepsTheLeadingDirectionsOnly) {
  // Two large directions and one small one.
  const std::vector<std::vector<double>> x{{3, 0, 0.1}, {3, 0.5, -0.1}, {0, 4, 0.1}, {0, 0, 0}};
  std::vector<double> values;
  for (const auto& a : x)
    for (const auto& b : x)
      values.push_back(std::inner_product(a.begin(), a.end(), b.begin(), 0.0));
  const SimilarityMatrix gram(std::move(values));
  CounterRng rng(1, 2);
  const SymmetricMatrix all = reduced_cosine(gram, 8, rng);
  const SymmetricMatrix two = reduced_cosine(gram, 2, rng);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(two(i, i), 1, 1e-12);
  EXPECT_NEAR(all(0, 1), gram(0, 1) / std::sqrt(gram(0, 0) * gram(1, 1)), 1e-12);
  EXPECT_NEAR(two(0, 1), 3 * 3 / (3 * std::sqrt(9.25)), 1e-2);
  EXPECT_GT(std::abs(two(0, 1) - all(0, 1)), 1e-4);
  EXPECT_EQ(two(3, 0), 0);
}

}  // namespace
}  // namespace d2c::cluster
