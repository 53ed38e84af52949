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

void admit(Unit& unit, const Member& member) {
  check_one(unit.module, member);
  const lora::Factors& f = *member.factors;
  if (unit.total_rank == 0) {
    unit.d_out = f.d_out();
    unit.d_in = f.d_in();
    unit.first_name = member.name;
    unit.first_rank = f.rank();
  } else if (f.d_out() != unit.d_out || f.d_in() != unit.d_in) {
    throw ShapeMismatch(
        {{}, std::string(unit.module)},
        {fmt::format("adapter '{}' is for a [{}, {}] module, adapter '{}' for [{}, {}]",
                     unit.first_name, unit.d_out, unit.d_in, member.name, f.d_out(), f.d_in()),
         "only adapters of one base model can be merged",
         "check that all adapters were trained on the same base model"},
        {f.d_out(), f.d_in()}, {unit.d_out, unit.d_in});
  }
  unit.total_rank += f.rank();
  unit.largest_rank = std::max(unit.largest_rank, f.rank());
}

void admit_equal_rank(Unit& unit, const Member& member) {
  admit(unit, member);
  if (member.factors->rank() == unit.first_rank) return;
  throw InputError(
      {{}, std::string(unit.module)},
      {fmt::format("adapter '{}' has rank {}, adapter '{}' has rank {}", unit.first_name,
                   unit.first_rank, member.name, member.factors->rank()),
       "the method combines the entries of A and of B, which needs equal ranks",
       fmt::format("choose a method that takes mixed ranks: {}",
                   fmt::join(mixed_rank_methods(), ", "))});
}

UnitShape shape_of(std::span<const Member> members) {
  UnitShape shape{};
  for (const Member& member : members) {
    if (member.factors == nullptr) continue;
    // The first decides; others that differ are refused when their turn comes.
    if (shape.members == 0) {
      shape.d_out = member.factors->d_out();
      shape.d_in = member.factors->d_in();
    }
    ++shape.members;
    shape.total_rank += member.factors->rank();
    shape.largest_rank = std::max(shape.largest_rank, member.factors->rank());
  }
  return shape;
}

Unit check_members(std::string_view module, std::span<const Member> members) {
  Unit unit{.module = module};
  for (const Member& member : members) {
    if (member.factors == nullptr) continue;
    admit(unit, member);
    unit.members.push_back(member);
  }
  D2C_EXPECTS(!unit.members.empty());
  return unit;
}

Index chosen_rank(const Unit& unit, const Options& options) {
  const Index wanted = options.merged_rank > 0 ? options.merged_rank : unit.largest_rank;
  return std::min({wanted, unit.d_in, unit.d_out});
}

}  // namespace d2c::merge
