#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "d2c/core/option.hpp"
#include "d2c/job/run_options.hpp"

namespace d2c::job {

/// What may be said of an option, as bits.
namespace traits {
// The subcommands that take it.
inline constexpr unsigned run = 1;
inline constexpr unsigned plan = 2;
inline constexpr unsigned compare = 4;
inline constexpr unsigned add = 8;
inline constexpr unsigned evaluate = 16;
inline constexpr unsigned merge = 32;
inline constexpr unsigned bench = 64;
inline constexpr unsigned generate = 512;
inline constexpr unsigned jobs = run | plan | compare;
/// Part of the identity of a job: with another value, losses may differ.
inline constexpr unsigned decides_numbers = 128;
/// Belongs to one call: not taken over where the options of a result are used again.
inline constexpr unsigned of_the_call = 256;
}  // namespace traits

/// All that there is to know about an option of a job.
struct RunOption : Option<RunOptions> {
  unsigned traits = job::traits::run | job::traits::plan;
  std::string_view group = {};  ///< heading in help texts

  [[nodiscard]] bool has(unsigned trait) const { return (traits & trait) != 0; }
};

/// All options, in the order shown to users.
[[nodiscard]] std::span<const RunOption> option_table();

/// Names and values of the options that differ from the defaults, with which `run` does the same
/// job: without the manifest and the options of one call.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> changed_options(
    const RunOptions& options);

}  // namespace d2c::job
