#pragma once

#include <span>
#include <string>
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
  std::string first_name = {};  ///< of the member that the others are compared with
  Index first_rank = 0;
};

/// Checks one member more and counts it, without adding it to `unit.members`: its factors may go
/// away. @pre it has factors
/// @throws InputError as check_members
void admit(Unit& unit, const Member& member);

/// admit() for methods that combine A with A and B with B.
/// @throws InputError if the ranks differ; names both and the methods that take mixed ranks
void admit_equal_rank(Unit& unit, const Member& member);

/// What decides how members are merged.
[[nodiscard]] UnitShape shape_of(std::span<const Member> members);

/// @throws InputError if d_in or d_out differ, A and B disagree, or a value is not finite; names
///         the module and the adapters
[[nodiscard]] Unit check_members(std::string_view module, std::span<const Member> members);

/// Rank of a result whose rank is a choice: min(merged_rank or largest member rank, d_in, d_out).
[[nodiscard]] Index chosen_rank(const Unit& unit, const Options& options);

/// u_i = w_i s_i: what the product B_i A_i is multiplied with in the merge.
[[nodiscard]] inline double strength(const Member& member) {
  return member.weight * member.factors->scaling;
}

}  // namespace d2c::merge
