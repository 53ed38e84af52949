#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "d2c/lora/module_products.hpp"
#include "d2c/ops/aligned.hpp"
#include "d2c/ops/packed_matrix.hpp"
#include "d2c/ops/rows.hpp"

namespace d2c::lora {

/// Inner products of updates by traces:
///
///     <dW_v, dW_h>_F = s_v s_h sum over k, l of (A_v A_h^T)[k, l] (B_v^T B_h)[k, l]
///
/// The components of many adapters stand below each other, so that both matrices come from products
/// of tall blocks. Products of at most depth values are summed in float32; what they add up to,
/// and everything else, in double. The error is within 1e-5 |dW_v| |dW_h| for factors whose columns
/// are not nearly parallel. <dW_v, dW_h> and <dW_h, dW_v> agree to rounding.
///
/// Cost of a product: r_v r_h (d_in + d_out) multiply-adds.
class UpdateProducts final : public ModuleProducts {
 public:
  UpdateProducts(ops::ThreadTeam& threads, Shape shape, std::span<const Factors* const> hosts);
  void multiply(std::span<const Components> visitors, const Wanted& wanted,
                const Take& take) override;

 private:
  /// Columns of a component, all of A or all of B.
  struct Block {
    Index begin = 0;
    Index size = 0;
    bool of_b = false;
  };
  /// Neighbouring hosts whose components are multiplied at a time.
  struct HostTile {
    std::vector<std::size_t> hosts;
    std::vector<Index> first_column;  ///< of each host, and the end
    std::vector<double> scalings;
    Index columns = 0;  ///< a multiple of the width of a panel: zeros behind the last host
    std::vector<ops::PackedMatrix> panels;  ///< of each block
    ops::AlignedFloats storage;
  };
  struct VisitorTile;

  void pack(HostTile& tile, std::span<const Factors* const> hosts);
  void multiply(const VisitorTile& visitors, const HostTile& hosts, const Wanted& wanted,
                const Take& take);
  /// The values of a block of columns of all rows of a tile.
  [[nodiscard]] ops::ConstRows gather(const VisitorTile& visitors, const Block& block);

  ops::ThreadTeam& threads_;
  Shape shape_;
  std::vector<Block> blocks_;
  std::vector<HostTile> tiles_;
  ops::AlignedFloats gathered_;
  ops::AlignedFloats product_;
  std::vector<double> a_products_;  ///< A_v A_h^T of a tile
  std::vector<double> sums_;        ///< [visitor, column] of a tile
};

}  // namespace d2c::lora
