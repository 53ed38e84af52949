#include "families.hpp"
#include "low_rank.hpp"

namespace d2c::merge {

lora::Factors merge_average(std::string_view module, std::span<const Member> members,
                            const Options& options) {
  const Unit unit = check_members(module, members);
  return truncate(stack(unit), chosen_rank(unit, options));
}

}  // namespace d2c::merge
