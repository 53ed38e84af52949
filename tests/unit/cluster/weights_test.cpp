#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "weights/average_linkage.hpp"
#include "weights/kernel_kmeans.hpp"
#include "weights/spectral.hpp"

namespace d2c::cluster {
namespace {

using Eigen::MatrixXd;

TEST(Eigenvectors, AreThoseOfTheLargestEigenvaluesInOrder) {
  const Eigen::VectorXd values{{0.1, 2.0, 0.3, 1.5, 0.0, 0.2, 3.0, 0.4, 0.6, 0.5}};
  // An orthogonal matrix: I - 2 u u^T / |u|^2.
  const Eigen::VectorXd u = Eigen::VectorXd::LinSpaced(10, 1, 10).normalized();
  const MatrixXd v = MatrixXd::Identity(10, 10) - 2 * u * u.transpose();
  CounterRng rng(1, 1);
  const MatrixXd found = leading_eigenvectors(v * values.asDiagonal() * v.transpose(), 3, rng);
  const std::vector<Eigen::Index> expected{6, 1, 3};
  for (Eigen::Index j = 0; j < 3; ++j) {
    const double dot = found.col(j).dot(v.col(expected[static_cast<std::size_t>(j)]));
    EXPECT_NEAR(std::abs(dot), 1.0, 1e-8) << j;
    EXPECT_EQ(found.col(j).maxCoeff(), found.col(j).cwiseAbs().maxCoeff());
  }
}

TEST(Eigenvectors, OfAMatrixOfLowRankAreOrthonormal) {
  const MatrixXd ones = MatrixXd::Ones(6, 6);
  CounterRng rng(1, 1);
  const MatrixXd found = leading_eigenvectors(ones, 2, rng);
  for (Eigen::Index i = 0; i < 6; ++i) EXPECT_NEAR(found(i, 0), 1 / std::sqrt(6.0), 1e-9);
  EXPECT_NEAR((found.transpose() * found - MatrixXd::Identity(2, 2)).norm(), 0, 1e-9);
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
  const SimilarityMatrix all = reduced_cosine(gram, 8, rng);
  const SimilarityMatrix two = reduced_cosine(gram, 2, rng);
  for (const TaskId i : ids<TaskId>(3)) EXPECT_NEAR(two(i, i), 1, 1e-12);
  EXPECT_NEAR(all(0, 1), gram(0, 1) / std::sqrt(gram(0, 0) * gram(1, 1)), 1e-12);
  EXPECT_NEAR(two(0, 1), 3 * 3 / (3 * std::sqrt(9.25)), 1e-2);
  EXPECT_GT(std::abs(two(0, 1) - all(0, 1)), 1e-4);
  EXPECT_EQ(two(3, 0), 0);
}

}  // namespace
}  // namespace d2c::cluster
