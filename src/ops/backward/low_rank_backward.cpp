#include "d2c/ops/backward.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::ops {

UpdateGradient LowRankUpdate::zero_gradient() const {
  UpdateGradient zero{Matrix(a_.d_out(), a_.d_in()), {}};
  for (const Packed& part : parts_) zero.b.emplace_back(part.b.d_in(), part.b.d_out());
  return zero;
}

void LowRankUpdate::expand_backward(ThreadTeam& threads, Backward& backward, ConstRows u,
                                    ConstRows dy, Rows du, UpdateGradient& sum) const {
  D2C_EXPECTS(du.width == rank() && du.n == dy.n && u.width == rank());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Packed& part = parts_[i];
    const ConstRows own = dy.columns(part.column, part.b.d_out());
    backward.product(threads, own, part.b, du.columns(part.first_rank, part.b.d_in()));
    backward.gradient(u.columns(part.first_rank, part.b.d_in()), own,
                      static_cast<float>(part.scaling), rows_of(sum.b[i]));
  }
}

void LowRankUpdate::add_expand_columns_backward(ThreadTeam& threads, Backward& backward,
                                                ConstRows u, ConstRows dy, Index first, Rows du,
                                                UpdateGradient& sum) const {
  D2C_EXPECTS(parts_.size() == 1 && parts_.front().column == 0);
  const Packed& part = parts_.front();
  backward.product.add(threads, dy, part.b.rows(first, dy.width), du);
  backward.gradient(u, dy, static_cast<float>(part.scaling),
                    rows_of(sum.b.front()).columns(first, dy.width));
}

void LowRankUpdate::add_project_backward(ThreadTeam& threads, Backward& backward, ConstRows x,
                                         ConstRows du, Rows dx, UpdateGradient& sum) const {
  backward.product.add(threads, du, a_, dx);
  backward.gradient(du, x, 1.0F, rows_of(sum.a));
}

void LowRankUpdate::add_one_hot_gradient(std::span<const std::int32_t> ids, ConstRows du,
                                         UpdateGradient& sum) const {
  D2C_EXPECTS(std::ssize(ids) == du.n && du.width == rank());
  for (Index t = 0; t < du.n; ++t) {
    for (Index r = 0; r < du.width; ++r) {
      sum.a(r, ids[static_cast<std::size_t>(t)]) += du.row(t)[r];
    }
  }
}

}  // namespace d2c::ops
