#include "members.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace d2c::merge {
namespace {

bool all_finite(const Matrix& matrix) {
  return std::ranges::all_of(matrix.values(), [](float x) { return std::isfinite(x); });
}

void check_one(std::string_view module, const Member& member) {
  const lora::Factors& f = *member.factors;
  if (f.a.rows() != f.b.cols()) {
    throw InputError({{}, std::string(module)},
                     {fmt::format("A [{}, {}] and B [{}, {}] of adapter '{}' do not fit",
                                  f.a.rows(), f.a.cols(), f.b.rows(), f.b.cols(), member.name),
                      "the product B A needs one rank", "check the adapter's file"});
  }
  if (!all_finite(f.a) || !all_finite(f.b) || !std::isfinite(strength(member))) {
    throw InputError(
        {{}, std::string(module)},
        {fmt::format("adapter '{}' has a weight or value that is not finite", member.name),
         "the merged adapter would be NaN", "leave the adapter out or train it again"});
  }
}

std::vector<std::string_view> mixed_rank_methods() {
  std::vector<std::string_view> names;
  for (const Method& method : methods()) {
    if (method.mixed_ranks) names.push_back(method.name);
  }
  return names;
}

}  // namespace

Unit check_members(std::string_view module, std::span<const Member> members) {
  Unit unit{.module = module};
  for (const Member& member : members) {
    if (member.factors == nullptr) continue;
    check_one(module, member);
    const lora::Factors& f = *member.factors;
    if (unit.members.empty()) {
      unit.d_out = f.d_out();
      unit.d_in = f.d_in();
    } else if (f.d_out() != unit.d_out || f.d_in() != unit.d_in) {
      throw InputError(
          {{}, std::string(module)},
          {fmt::format("adapter '{}' is for a [{}, {}] module, adapter '{}' for [{}, {}]",
                       unit.members.front().name, unit.d_out, unit.d_in, member.name, f.d_out(),
                       f.d_in()),
           "only adapters of one base model can be merged",
           "check that all adapters were trained on the same base model"});
    }
    unit.total_rank += f.rank();
    unit.largest_rank = std::max(unit.largest_rank, f.rank());
    unit.members.push_back(member);
  }
  D2C_EXPECTS(!unit.members.empty());
  return unit;
}

Unit check_equal_ranks(std::string_view module, std::span<const Member> members) {
  Unit unit = check_members(module, members);
  const Member& first = unit.members.front();
  for (const Member& member : unit.members) {
    if (member.factors->rank() == first.factors->rank()) continue;
    throw InputError({{}, std::string(module)},
                     {fmt::format("adapter '{}' has rank {}, adapter '{}' has rank {}", first.name,
                                  first.factors->rank(), member.name, member.factors->rank()),
                      "the method combines the entries of A and of B, which needs equal ranks",
                      fmt::format("choose a method that takes mixed ranks: {}",
                                  fmt::join(mixed_rank_methods(), ", "))});
  }
  return unit;
}

Index chosen_rank(const Unit& unit, const Options& options) {
  const Index wanted = options.merged_rank > 0 ? options.merged_rank : unit.largest_rank;
  return std::min({wanted, unit.d_in, unit.d_out});
}

}  // namespace d2c::merge
