#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "d2c/merge/merge.hpp"

namespace d2c::merge {

/// The members of a merge that have the module, checked against each other.
struct Unit {
  std::string_view module;
  Index d_out = 0;
  Index d_in = 0;
  Index total_rank = 0;    ///< R = sum of r_i
  Index largest_rank = 0;  ///< max of r_i
  std::vector<Member> members = {};
};

/// @throws InputError if d_in or d_out differ, A and B disagree, or a value is not finite; names
///         the module and the adapters
[[nodiscard]] Unit check_members(std::string_view module, std::span<const Member> members);

/// check_members for methods that combine A with A and B with B.
/// @throws InputError if the ranks differ; names both and the methods that take mixed ranks
[[nodiscard]] Unit check_equal_ranks(std::string_view module, std::span<const Member> members);

/// Rank of a result whose rank is a choice: min(merged_rank or largest member rank, d_in, d_out).
[[nodiscard]] Index chosen_rank(const Unit& unit, const Options& options);

/// u_i = w_i s_i: what the product B_i A_i is multiplied with in the merge.
[[nodiscard]] inline double strength(const Member& member) {
  return member.weight * member.factors->scaling;
}

}  // namespace d2c::merge
