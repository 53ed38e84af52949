#pragma once

#include <span>
#include <vector>

#include "d2c/lora/factors.hpp"

namespace d2c::lora {

/// Inner products of the updates of one module of two groups of adapters: the r x r traces of
/// gram(), over matrices packed once per group.
class UpdateProducts {
 public:
  /// @param rows, cols  null = the adapter lacks the module; all others have the same shape
  UpdateProducts(std::span<const Factors* const> rows, std::span<const Factors* const> cols);

  /// <dW_row, dW_col>_F, summed in double; 0 if one lacks the module. Depends on the pair alone,
  /// bit for bit.
  [[nodiscard]] double operator()(std::size_t row, std::size_t col);

 private:
  /// Columns of a tall matrix [depth, rank] in panels: [panel, depth, panel width], zeros behind
  /// the last column.
  struct Side {
    Index panels = 0;
    std::vector<double> a;  ///< of A^T [d_in, r]
    std::vector<double> b;  ///< of B [d_out, r]
    double scaling = 0.0;
  };
  [[nodiscard]] static std::vector<Side> pack(std::span<const Factors* const> adapters,
                                              Index width);
  /// X^T Y of two packed matrices.
  static void multiply(const std::vector<double>& x, Index x_panels, const std::vector<double>& y,
                       Index y_panels, Index depth, std::vector<double>& result);

  Index d_in_ = 0;
  Index d_out_ = 0;
  std::vector<Side> rows_;
  std::vector<Side> cols_;
  std::vector<double> aa_;
  std::vector<double> bb_;
};

}  // namespace d2c::lora
