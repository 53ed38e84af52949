#include <algorithm>

#include "algebra/elementwise.hpp"
#include "algebra/low_rank.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

/// s_i B_i A_i of one member, a block of rows at a time. The full d_out x d_in update of a member
/// is never held: pruning visits the blocks twice instead.
class DeltaRows {
 public:
  explicit DeltaRows(const lora::Factors& f)
      : b_(f.scaling * as_eigen(f.b).cast<double>()), a_(as_eigen(f.a).cast<double>()) {}

  [[nodiscard]] EigenRowMajor rows(Index first, Index count) const {
    return (b_.middleRows(first, count) * a_).cast<float>();
  }

 private:
  Eigen::MatrixXd b_;
  Eigen::MatrixXd a_;
};

/// Rows per block: about a million entries, a function of the shape only.
Index rows_per_block(const Unit& unit) {
  return std::clamp<Index>((Index{1} << 20) / unit.d_in, 1, unit.d_out);
}

template <typename Visit>
void for_each_block(const Unit& unit, Visit visit) {
  const Index step = rows_per_block(unit);
  for (Index first = 0; first < unit.d_out; first += step) {
    visit(first, std::min(step, unit.d_out - first));
  }
}

std::vector<float> all_entries(const Unit& unit, const DeltaRows& delta) {
  std::vector<float> result;
  result.reserve(static_cast<std::size_t>(unit.d_out * unit.d_in));
  for_each_block(unit, [&](Index first, Index count) {
    EigenRowMajor block = delta.rows(first, count);
    result.insert(result.end(), entries(block).begin(), entries(block).end());
  });
  return result;
}

Matrix merge_deltas(const Unit& unit, Operator op, const Options& options) {
  std::vector<DeltaRows> deltas;
  std::vector<Pruner> pruners;
  std::vector<double> weights;
  for (const Member& member : unit.members) {
    const DeltaRows& delta = deltas.emplace_back(*member.factors);
    weights.push_back(member.weight);
    pruners.push_back(
        op.pruning == Pruning::magnitude && options.density < 1
            ? Pruner::by_magnitude(all_entries(unit, delta), options.density)
        : op.pruning == Pruning::random
            ? Pruner::at_random(random_stream(options, unit.module, member), options.density)
            : Pruner());
  }
  Matrix merged(unit.d_out, unit.d_in);
  for_each_block(unit, [&](Index first, Index count) {
    std::vector<EigenRowMajor> blocks;
    std::vector<std::span<const float>> views;
    blocks.reserve(deltas.size());
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      EigenRowMajor& block = blocks.emplace_back(deltas[i].rows(first, count));
      pruners[i].prune(entries(block));
      views.push_back(entries(block));
    }
    combine(views, weights, op.combination, options.majority_sign,
            merged.values().subspan(static_cast<std::size_t>(first * unit.d_in),
                                    static_cast<std::size_t>(count * unit.d_in)));
  });
  return merged;
}

}  // namespace

std::unique_ptr<ModuleMerge> start_deltawise(Operator op, std::string_view module,
                                             const UnitShape& shape, const Options& options) {
  // Without pruning a sum stays a sum of low-rank updates.
  const bool low_rank = op.combination == Combination::sum && options.density >= 1;
  return low_rank ? start_average(module, shape, options) : nullptr;
}

lora::Factors merge_deltawise(Operator op, std::string_view module, std::span<const Member> members,
                              const Options& options) {
  if (const auto stream = start_deltawise(op, module, shape_of(members), options)) {
    return merge_all(*stream, members);
  }
  const Unit unit = check_members(module, members);
  return truncate(merge_deltas(unit, op, options), chosen_rank(unit, options));
}

}  // namespace d2c::merge
