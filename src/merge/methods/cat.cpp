#include "d2c/tensor/eigen.hpp"

#include "members.hpp"
#include "methods/families.hpp"

namespace d2c::merge {

lora::Factors merge_cat(std::string_view module, std::span<const Member> members, const Options&) {
  const Unit unit = check_members(module, members);
  lora::Factors result{Matrix(unit.total_rank, unit.d_in), Matrix(unit.d_out, unit.total_rank),
                       1.0};
  Index row = 0;
  for (const Member& member : unit.members) {
    const lora::Factors& f = *member.factors;
    as_eigen(result.a).middleRows(row, f.rank()) =
        (strength(member) * as_eigen(f.a).cast<double>()).cast<float>();
    as_eigen(result.b).middleCols(row, f.rank()) = as_eigen(f.b);
    row += f.rank();
  }
  return result;
}

}  // namespace d2c::merge
