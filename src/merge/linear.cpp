#include <cmath>

#include "d2c/tensor/eigen.hpp"

#include "families.hpp"
#include "members.hpp"

namespace d2c::merge {

lora::Factors merge_linear(std::string_view module, std::span<const Member> members,
                           const Options&) {
  const Unit unit = check_equal_ranks(module, members);
  Eigen::MatrixXd a = Eigen::MatrixXd::Zero(unit.largest_rank, unit.d_in);
  Eigen::MatrixXd b = Eigen::MatrixXd::Zero(unit.d_out, unit.largest_rank);
  for (const Member& member : unit.members) {
    const double root = std::sqrt(std::abs(strength(member)));
    a += std::copysign(root, strength(member)) * as_eigen(member.factors->a).cast<double>();
    b += root * as_eigen(member.factors->b).cast<double>();
  }
  lora::Factors result{Matrix(a.rows(), a.cols()), Matrix(b.rows(), b.cols()), 1.0};
  as_eigen(result.a) = a.cast<float>();
  as_eigen(result.b) = b.cast<float>();
  return result;
}

}  // namespace d2c::merge
