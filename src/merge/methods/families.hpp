#pragma once

#include <memory>

#include "d2c/merge/module_merge.hpp"

/// The functions behind the rows of the registry, one file per family.
namespace d2c::merge {

// average.cpp: argmin over rank <= r of || sum_i u_i B_i A_i - B A ||_F (Eckart-Young).
std::unique_ptr<ModuleMerge> start_average(std::string_view module, const UnitShape& shape,
                                           const Options& options);

// cat.cpp: A = [u_i A_i] stacked in rows, B = [B_i] side by side, so B A = sum_i u_i B_i A_i.
lora::Factors merge_cat(std::string_view module, std::span<const Member> members,
                        const Options& options);

enum class Pruning { none, magnitude, random };
enum class Combination {
  sum,      ///< sum of the weighted entries
  disjoint  ///< TIES: mean of the weighted entries that have the elected sign
};

/// An operator of PEFT: prune each task tensor, then combine entry by entry.
struct Operator {
  Pruning pruning;
  Combination combination;
};

// factorwise.cpp: A = op(A_i; sgn(u_i) sqrt|u_i|), B = op(B_i; sqrt|u_i|). The weight enters the
// product once, its sign through A only.
std::unique_ptr<ModuleMerge> start_factorwise(Operator op, std::string_view module,
                                              const Options& options);

// deltawise.cpp: op(s_i B_i A_i; w_i) truncated to the wanted rank. Scaling enters once, through
// the update.
lora::Factors merge_deltawise(Operator op, std::string_view module, std::span<const Member> members,
                              const Options& options);

/// Null where all members must be at hand.
std::unique_ptr<ModuleMerge> start_deltawise(Operator op, std::string_view module,
                                             const UnitShape& shape, const Options& options);

// core_space.cpp: operators on M_i = U^T (s_i B_i A_i) V, where U and V are the singular bases of
// the stacked B_i and A_i (arXiv 2509.17786).
lora::Factors merge_core_ties(std::string_view module, std::span<const Member> members,
                              const Options& options);
lora::Factors merge_core_tsv(std::string_view module, std::span<const Member> members,
                             const Options& options);
lora::Factors merge_core_iso(std::string_view module, std::span<const Member> members,
                             const Options& options);

// knots.cpp: TIES on U^T (s_i B_i A_i), where U holds the left singular vectors of the updates side
// by side (arXiv 2410.19735).
lora::Factors merge_knots_ties(std::string_view module, std::span<const Member> members,
                               const Options& options);

/// Where a regression knows the inputs of a module from.
enum class Inputs {
  measured,  ///< Member::inputs
  estimated  ///< the update itself, arXiv 2603.02945 and 2604.01329
};

// regression.cpp: argmin over rank <= r of sum_i |w_i| || (B A - sgn(w_i) s_i B_i A_i) X_i^T ||^2
// (arXiv 2212.09849), times sum_i |w_i|.
std::unique_ptr<ModuleMerge> start_regression(Inputs inputs, std::string_view module,
                                              const UnitShape& shape, const Options& options);

// lego.cpp: k-means over the rank-one units of all members (arXiv 2409.16167).
lora::Factors merge_lego(std::string_view module, std::span<const Member> members,
                         const Options& options);

// cost.cpp: floating-point operations, to leading order.
[[nodiscard]] double cost_of_factors(const UnitShape& shape);
[[nodiscard]] double cost_of_core(const UnitShape& shape);
[[nodiscard]] double cost_of_deltas(const UnitShape& shape);
[[nodiscard]] double cost_of_core_space(const UnitShape& shape);
[[nodiscard]] double cost_of_knots(const UnitShape& shape);
[[nodiscard]] double cost_of_regression(const UnitShape& shape);
[[nodiscard]] double cost_of_lego(const UnitShape& shape);

}  // namespace d2c::merge
