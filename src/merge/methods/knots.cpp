#include "algebra/decompositions.hpp"
#include "algebra/elementwise.hpp"
#include "algebra/low_rank.hpp"
#include "methods/core_space.hpp"
#include "methods/families.hpp"

namespace d2c::merge {

// Stoica et al., "Model merging with SVD to tie the Knots", arXiv 2410.19735: with the SVD
// U S [V_1^T ... V_m^T] of the updates side by side, the tasks are S V_i^T = U^T (s_i B_i A_i).
// U comes from the m cores instead of the d_out x m d_in matrix: the bases are orthonormal, so both
// have the same left singular vectors.
lora::Factors merge_knots_ties(std::string_view module, std::span<const Member> members,
                               const Options& options) {
  const Unit unit = check_members(module, members);
  const CoreSpace space = core_space(unit);
  Eigen::MatrixXd squared = Eigen::MatrixXd::Zero(space.u.cols(), space.u.cols());
  for (const Eigen::MatrixXd& core : space.cores) squared += core * core.transpose();
  if (squared.size() == 0) return truncate(stack(unit), chosen_rank(unit, options));
  const Eigen::MatrixXd basis = symmetric_eigen(squared).vectors;

  std::vector<EigenRowMajor> tasks;
  std::vector<double> weights;
  for (std::size_t i = 0; i < space.cores.size(); ++i) {
    tasks.push_back((basis.transpose() * space.cores[i] * space.v.transpose()).cast<float>());
    weights.push_back(unit.members[i].weight);
  }
  const Eigen::MatrixXd merged = ties(std::move(tasks), weights, options).cast<double>();
  return truncate(Stack{space.u * basis, merged.transpose(), Eigen::VectorXd::Ones(merged.rows())},
                  chosen_rank(unit, options));
}

}  // namespace d2c::merge
