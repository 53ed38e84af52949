#include "merge_test_support.hpp"

#include <Eigen/SVD>

namespace d2c::merge::test {

Svd dense_svd(const Dense& m) {
  const Eigen::BDCSVD<Dense> svd(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return {svd.matrixU(), svd.singularValues(), svd.matrixV()};
}

Truncation dense_truncated_svd(const Dense& m, Index rank) {
  const Svd svd = dense_svd(m);
  const Index k = std::min<Index>(rank, svd.s.size());
  const double next = k < svd.s.size() ? svd.s[k] : 0.0;
  return {svd.u.leftCols(k) * svd.s.head(k).asDiagonal() * svd.v.leftCols(k).transpose(),
          svd.s.tail(svd.s.size() - k).norm(),
          svd.s[0] > 0 ? (svd.s[k - 1] - next) / svd.s[0] : 0.0};
}

}  // namespace d2c::merge::test
