#include "d2c/ops/backward.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::ops {

void LowRankUpdate::expand_backward(LinearBackward& backward, ConstRows dy, Rows du) const {
  D2C_EXPECTS(du.width == rank() && du.n == dy.n);
  for (const Packed& part : parts_) {
    backward(dy.columns(part.column, part.b.d_out()), part.b,
             du.columns(part.first_rank, part.b.d_in()));
  }
}

void LowRankUpdate::add_expand_columns_backward(LinearBackward& backward, ConstRows dy, Index first,
                                                Rows du) const {
  D2C_EXPECTS(parts_.size() == 1 && parts_.front().column == 0);
  backward.add(dy, parts_.front().b.rows(first, dy.width), du);
}

void LowRankUpdate::add_project_backward(LinearBackward& backward, ConstRows du, Rows dx) const {
  backward.add(du, a_, dx);
}

}  // namespace d2c::ops
