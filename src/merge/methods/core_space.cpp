#include "methods/core_space.hpp"

#include <algorithm>

#include "algebra/decompositions.hpp"
#include "algebra/elementwise.hpp"
#include "algebra/low_rank.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// The orthonormal matrix closest to m (orthogonal Procrustes).
MatrixXd nearest_orthonormal(const MatrixXd& m) {
  const Svd svd = thin_svd(m);
  return svd.u * svd.v.transpose();
}

/// u core v^T truncated to `rank`.
lora::Factors from_core(const CoreSpace& space, const MatrixXd& core, Index rank) {
  const Index n = core.cols();
  Stack product{space.u * core, space.v, VectorXd::Ones(n)};
  return truncate(product, rank);
}

std::vector<double> weights(const Unit& unit) {
  std::vector<double> result;
  for (const Member& member : unit.members) result.push_back(member.weight);
  return result;
}

}  // namespace

CoreSpace core_space(const Unit& unit) {
  const Stack s = stack(unit);
  CoreSpace space{singular_basis(s.b), singular_basis(s.a), {}};
  Index column = 0;
  for (const Member& member : unit.members) {
    const Index rank = member.factors->rank();
    space.cores.push_back(member.factors->scaling *
                          (space.u.transpose() * s.b.middleCols(column, rank)) *
                          (space.v.transpose() * s.a.middleCols(column, rank)).transpose());
    column += rank;
  }
  return space;
}

lora::Factors merge_core_ties(std::string_view module, std::span<const Member> members,
                              const Options& options) {
  const Unit unit = check_members(module, members);
  const CoreSpace space = core_space(unit);
  std::vector<EigenRowMajor> tasks;
  for (const MatrixXd& core : space.cores) tasks.push_back(core.cast<float>());
  const MatrixXd merged = ties(std::move(tasks), weights(unit), options).cast<double>();
  return from_core(space, merged, chosen_rank(unit, options));
}

// TSV-Merge (Gargiulo et al., "Task Singular Vectors", arXiv 2412.00081, algorithm 1): each task
// keeps its share of the leading singular triplets; the singular vectors of all tasks, side by
// side, are replaced by the closest orthonormal ones, which decorrelates the tasks.
lora::Factors merge_core_tsv(std::string_view module, std::span<const Member> members,
                             const Options& options) {
  const Unit unit = check_members(module, members);
  const CoreSpace space = core_space(unit);
  const Index n = std::min(space.u.cols(), space.v.cols());
  MatrixXd left(space.u.cols(), unit.total_rank);
  MatrixXd right(space.v.cols(), unit.total_rank);
  VectorXd values(unit.total_rank);
  Index used = 0;
  for (std::size_t i = 0; i < space.cores.size(); ++i) {
    const Svd svd = thin_svd(space.cores[i]);
    // Where the bases are narrow, as with one A for all, a task's share is less than one triplet.
    const Index share = std::max<Index>(1, n * unit.members[i].factors->rank() / unit.total_rank);
    const Index kept = std::min(share, svd.s.size());
    left.middleCols(used, kept) = svd.u.leftCols(kept);
    right.middleCols(used, kept) = svd.v.leftCols(kept);
    values.segment(used, kept) = unit.members[i].weight * svd.s.head(kept);
    used += kept;
  }
  const MatrixXd merged = nearest_orthonormal(left.leftCols(used)) *
                          values.head(used).asDiagonal() *
                          nearest_orthonormal(right.leftCols(used)).transpose();
  return from_core(space, merged, chosen_rank(unit, options));
}

// Iso-C (Marczak et al., "No Task Left Behind", arXiv 2502.04959, eq. 7): the singular values of
// the sum are replaced by their mean. All being equal then, the leading directions of the sum are
// the ones kept.
lora::Factors merge_core_iso(std::string_view module, std::span<const Member> members,
                             const Options& options) {
  const Unit unit = check_members(module, members);
  CoreSpace space = core_space(unit);
  MatrixXd sum = MatrixXd::Zero(space.u.cols(), space.v.cols());
  for (std::size_t i = 0; i < space.cores.size(); ++i) {
    sum += unit.members[i].weight * space.cores[i];
  }
  const Svd svd = thin_svd(sum);
  const Index rank = chosen_rank(unit, options);
  const Index kept = std::min(rank, svd.s.size());
  const double mean =
      svd.s.sum() / static_cast<double>(std::max<Index>(1, std::min(sum.rows(), sum.cols())));
  return truncate(Stack{space.u * svd.u.leftCols(kept), space.v * svd.v.leftCols(kept),
                        VectorXd::Constant(kept, mean)},
                  rank);
}

}  // namespace d2c::merge
