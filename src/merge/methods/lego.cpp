#include <algorithm>
#include <cmath>
#include <limits>

#include "algebra/elementwise.hpp"
#include "algebra/low_rank.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

using Labels = std::vector<Index>;

constexpr int max_iterations = 100;

/// Squared distances of all points to point `center`, from the inner products of the points.
VectorXd squared_distances(const MatrixXd& inner, Index center) {
  return (inner.diagonal().array() - 2 * inner.col(center).array() + inner(center, center))
      .max(0.0);
}

/// k-means++ (Arthur & Vassilvitskii 2007): each centre with probability proportional to the
/// squared distance to the nearest one so far.
std::vector<Index> choose_centers(const MatrixXd& inner, Index clusters, CounterRng& rng) {
  const Index points = inner.rows();
  std::vector<Index> centers = {static_cast<Index>(rng.below(static_cast<std::uint64_t>(points)))};
  VectorXd nearest = squared_distances(inner, centers[0]);
  while (static_cast<Index>(centers.size()) < clusters) {
    nearest[centers.back()] = 0;
    double left = rng.uniform() * nearest.sum();
    Index chosen = 0;
    nearest.maxCoeff(&chosen);  // where rounding lets `left` outlast the sum
    for (Index point = 0; point < points; ++point) {
      left -= nearest[point];
      if (left < 0) {
        chosen = point;
        break;
      }
    }
    centers.push_back(chosen);
    nearest = nearest.cwiseMin(squared_distances(inner, chosen));
  }
  return centers;
}

/// Column c holds the share of each point in the centroid of cluster c: its weight over the
/// cluster's.
MatrixXd centroid_shares(const Labels& labels, const VectorXd& weights, Index clusters) {
  MatrixXd shares = MatrixXd::Zero(weights.size(), clusters);
  for (Index point = 0; point < weights.size(); ++point) {
    shares(point, labels[static_cast<std::size_t>(point)]) = weights[point];
  }
  for (Index c = 0; c < clusters; ++c) {
    if (const double total = shares.col(c).sum(); total > 0) shares.col(c) /= total;
  }
  return shares;
}

/// Lowest cluster wins ties.
Labels nearest_centroids(const MatrixXd& inner, const MatrixXd& shares) {
  const MatrixXd projected = inner * shares;
  const VectorXd norms = (shares.array() * projected.array()).colwise().sum();
  Labels labels(static_cast<std::size_t>(inner.rows()));
  for (Index point = 0; point < inner.rows(); ++point) {
    (norms.transpose() - 2 * projected.row(point))
        .minCoeff(&labels[static_cast<std::size_t>(point)]);
  }
  return labels;
}

/// Lloyd's algorithm on inner products alone: distances to centroids need no coordinates.
Labels k_means(const MatrixXd& inner, const VectorXd& weights, Index clusters, CounterRng rng) {
  const std::vector<Index> centers = choose_centers(inner, clusters, rng);
  MatrixXd shares = MatrixXd::Zero(inner.rows(), clusters);
  for (Index c = 0; c < clusters; ++c) shares(centers[static_cast<std::size_t>(c)], c) = 1;
  Labels labels = nearest_centroids(inner, shares);
  for (int iteration = 0; iteration < max_iterations; ++iteration) {
    Labels next = nearest_centroids(inner, centroid_shares(labels, weights, clusters));
    if (next == labels) break;
    labels = std::move(next);
  }
  return labels;
}

Labels each_its_own(Index points) {
  Labels labels;
  for (Index point = 0; point < points; ++point) labels.push_back(point);
  return labels;
}

}  // namespace

// Zhao et al., "Merging LoRAs like Playing LEGO", arXiv 2409.16167. A unit is a column of B_i with
// its row of A_i, both times sqrt(s_i); the centroids of k clusters are the units of the result.
// Parameter reweighting: a centroid gets the mean norm of its units, as averaging shortens it.
// Output reweighting: sqrt(r / k), as the output's variance grows with the number of units. Weights
// of members weigh their units in the centroids; the sum of their sizes scales the result.
lora::Factors merge_lego(std::string_view module, std::span<const Member> members,
                         const Options& options) {
  const Unit unit = check_members(module, members);
  Unit weighing = unit;
  std::erase_if(weighing.members, [](const Member& m) { return strength(m) == 0; });
  weighing.total_rank = 0;
  double weight_sum = 0;
  double mean_rank = 0;
  for (const Member& member : weighing.members) {
    const double weight = std::abs(member.weight);
    weighing.total_rank += member.factors->rank();
    weight_sum += weight;
    mean_rank += weight * static_cast<double>(member.factors->rank());
  }
  const Index rank = chosen_rank(unit, options);
  Stack units = stack(weighing);
  const Index points = units.strength.size();
  const Index clusters = std::min(rank, points);
  if (clusters == 0) return truncate(units, rank);
  mean_rank /= weight_sum;

  VectorXd weights(points);
  Index column = 0;
  for (const Member& member : weighing.members) {
    const Index r = member.factors->rank();
    const double root = std::sqrt(std::abs(member.factors->scaling));
    weights.segment(column, r).setConstant(std::abs(member.weight));
    units.a.middleCols(column, r) *= root;
    units.b.middleCols(column, r) *= std::copysign(root, strength(member));
    column += r;
  }
  const MatrixXd inner = units.a.transpose() * units.a + units.b.transpose() * units.b;
  const Labels labels =
      clusters == points ? each_its_own(points)
                         : k_means(inner, weights, clusters,
                                   CounterRng(options.seed, hash_name(module) ^ hash_name("lego")));

  const MatrixXd shares = centroid_shares(labels, weights, clusters);
  const VectorXd norms =
      (shares.array() * (inner * shares).array()).colwise().sum().max(0.0).sqrt();
  const VectorXd wanted = shares.transpose() * inner.diagonal().cwiseMax(0.0).cwiseSqrt();
  const double output =
      std::sqrt(weight_sum * std::sqrt(mean_rank / static_cast<double>(clusters)));
  VectorXd scale = VectorXd::Zero(clusters);
  for (Index c = 0; c < clusters; ++c) {
    if (norms[c] > 0) scale[c] = output * wanted[c] / norms[c];
  }
  lora::Factors result{Matrix(rank, unit.d_in), Matrix(unit.d_out, rank), 1.0};
  as_eigen(result.a).topRows(clusters) =
      (units.a * shares * scale.asDiagonal()).transpose().cast<float>();
  as_eigen(result.b).leftCols(clusters) = (units.b * shares * scale.asDiagonal()).cast<float>();
  return result;
}

}  // namespace d2c::merge
