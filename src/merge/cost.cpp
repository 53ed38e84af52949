#include <algorithm>

#include "methods/families.hpp"

namespace d2c::merge {
namespace {

double cube(double x) { return x * x * x; }

/// d_out + d_in: entries per unit of rank.
double perimeter(const UnitShape& s) { return static_cast<double>(s.d_out + s.d_in); }
double area(const UnitShape& s) {
  return static_cast<double>(s.d_out) * static_cast<double>(s.d_in);
}
double side(const UnitShape& s) { return static_cast<double>(std::min(s.d_out, s.d_in)); }
double rank(const UnitShape& s) { return static_cast<double>(s.total_rank); }

/// About 10 n^3 for all eigenpairs of a symmetric matrix, 20 n^3 for an SVD.
constexpr double eigen_constant = 10;
constexpr double svd_constant = 20;
/// Block Lanczos: products with M and M^T, about this many times for each wanted vector.
constexpr double lanczos_constant = 4 * 12;

}  // namespace

double cost_of_factors(const UnitShape& s) { return 4 * perimeter(s) * rank(s); }

double cost_of_core(const UnitShape& s) {
  if (rank(s) > side(s)) {
    return 2 * area(s) * (rank(s) + side(s)) + eigen_constant * cube(side(s));
  }
  return perimeter(s) * rank(s) * (rank(s) + 2 * static_cast<double>(s.largest_rank)) +
         eigen_constant * cube(rank(s));
}

double cost_of_deltas(const UnitShape& s) {
  return area(s) * (4 * rank(s) + lanczos_constant * static_cast<double>(s.largest_rank));
}

double cost_of_core_space(const UnitShape& s) {
  return 6 * perimeter(s) * rank(s) * rank(s) + 4 * svd_constant * cube(rank(s));
}

double cost_of_knots(const UnitShape& s) {
  return cost_of_core_space(s) +
         static_cast<double>(s.members) * 2 * static_cast<double>(s.d_in) * rank(s) * rank(s);
}

double cost_of_regression(const UnitShape& s) {
  const auto d_in = static_cast<double>(s.d_in);
  return d_in * d_in * (d_in / 3 + 6 * rank(s)) + cost_of_core(s);
}

double cost_of_lego(const UnitShape& s) { return 2 * perimeter(s) * rank(s) * rank(s); }

}  // namespace d2c::merge
