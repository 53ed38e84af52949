#include "tokenizer/growth.hpp"

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::text {

void GrowthLimit::check(std::size_t bytes, std::string_view part) const {
  if (bytes <= largest_) return;
  throw InputError({{}, std::string(part)},
                   {fmt::format("makes a text more than {} times as long", most_growth),
                    "its steps grow what the ones before have grown", "repair the tokenizer"});
}

}  // namespace d2c::text
