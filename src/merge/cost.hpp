#pragma once

#include "d2c/merge/merge.hpp"

/// Floating-point operations of the families, to leading order.
namespace d2c::merge {

[[nodiscard]] double cost_of_factors(const UnitShape& shape);
[[nodiscard]] double cost_of_core(const UnitShape& shape);
[[nodiscard]] double cost_of_deltas(const UnitShape& shape);
[[nodiscard]] double cost_of_core_space(const UnitShape& shape);
[[nodiscard]] double cost_of_knots(const UnitShape& shape);
[[nodiscard]] double cost_of_regression(const UnitShape& shape);
[[nodiscard]] double cost_of_lego(const UnitShape& shape);

}  // namespace d2c::merge
