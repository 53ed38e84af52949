#include <utility>

#include "d2c/tensor/eigen.hpp"

#include "algebra/low_rank.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Columns that are multiplied at a time where the sum is held densely: the same for any number of
/// ranks, as it decides the order of summation.
constexpr Index columns = 128;

/// As long as the ranks add up to no more than the smaller side of the module, the factors are
/// kept side by side; otherwise their sum is kept, [d_out, d_in]. Neither grows with the number of
/// members.
class Average final : public ModuleMerge {
 public:
  Average(std::string_view module, const UnitShape& shape, const Options& options)
      : module_(module),
        options_(options),
        dense_(shape.total_rank > std::min(shape.d_out, shape.d_in)),
        capacity_(dense_ ? columns + shape.largest_rank : shape.total_rank),
        stack_{MatrixXd(shape.d_out, capacity_), MatrixXd(shape.d_in, capacity_),
               VectorXd(capacity_)} {
    unit_.module = module_;
    if (dense_) sum_ = MatrixXd::Zero(shape.d_out, shape.d_in);
  }

  void add(const Member& member) override {
    admit(unit_, member);
    D2C_EXPECTS(used_ + member.factors->rank() <= capacity_);
    used_ = put(member, used_, stack_);
    if (dense_ && used_ >= columns) multiply();
  }

  [[nodiscard]] lora::Factors finish() override {
    const Index rank = chosen_rank(unit_, options_);
    if (!dense_) return truncate(stack_, rank);
    multiply();
    Matrix sum(sum_.rows(), sum_.cols());
    as_eigen(sum) = sum_.cast<float>();
    sum_.resize(0, 0);
    return truncate(sum, rank);
  }

 private:
  void multiply() {
    sum_.noalias() += (stack_.b.leftCols(used_) * stack_.strength.head(used_).asDiagonal()) *
                      stack_.a.leftCols(used_).transpose();
    used_ = 0;
  }

  std::string module_;
  Options options_;
  Unit unit_;
  bool dense_;
  Index capacity_;  ///< columns of `stack_`
  Stack stack_;
  Index used_ = 0;
  MatrixXd sum_;
};

}  // namespace

std::unique_ptr<ModuleMerge> start_average(std::string_view module, const UnitShape& shape,
                                           const Options& options) {
  return std::make_unique<Average>(module, shape, options);
}

}  // namespace d2c::merge
