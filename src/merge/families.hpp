#pragma once

#include "d2c/merge/merge.hpp"

/// The functions behind the rows of the registry, one file per family.
namespace d2c::merge {

lora::Factors merge_average(std::string_view module, std::span<const Member> members,
                            const Options& options);
lora::Factors merge_cat(std::string_view module, std::span<const Member> members,
                        const Options& options);
lora::Factors merge_linear(std::string_view module, std::span<const Member> members,
                           const Options& options);

}  // namespace d2c::merge
