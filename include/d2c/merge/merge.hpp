#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/lora/factors.hpp"
#include "d2c/lora/input_moment.hpp"

namespace d2c::merge {

enum class MajoritySign { total, frequency };

/// Parameters of all methods; a method's registry row names those it reads.
struct Options {
  Index merged_rank = 0;  ///< of the result, where it is a choice; 0 = largest member rank
  double density = 0.0;   ///< share of entries kept by pruning methods, in (0, 1]; 0 = not given
  MajoritySign majority_sign = MajoritySign::total;
  std::uint64_t seed = 0;  ///< of methods that draw random numbers
};

/// One module of one adapter that takes part in a merge.
struct Member {
  const lora::Factors* factors = nullptr;  ///< null = lacks the module: contributes zero
  double weight = 1.0;                     ///< dimensionless, finite
  std::uint64_t adapter = 0;               ///< lora::fingerprint, for streams of random numbers
  std::string_view name;                   ///< of the adapter, for messages
  /// What the module reads under the adapter; null where the method does not look at it.
  const lora::InputMoment* inputs = nullptr;
};

/// Merges one module. Members come in ascending adapter order; at least one has factors.
using MergeFunction = lora::Factors (*)(std::string_view module, std::span<const Member> members,
                                        const Options& options);

/// What the cost of merging one module depends on.
struct UnitShape {
  Index d_out = 0;
  Index d_in = 0;
  Index members = 0;       ///< that have the module
  Index total_rank = 0;    ///< sum of their ranks
  Index largest_rank = 0;  ///< of a member
};

/// Floating-point operations to leading order: for balancing, good to a factor of a few.
using CostFunction = double (*)(const UnitShape& shape);

class ModuleMerge;
/// Starts a merge of members that come one after another, see start_merge.
/// @return  null where the method needs all of them at hand
using StreamFunction = std::unique_ptr<ModuleMerge> (*)(std::string_view module,
                                                        const UnitShape& shape,
                                                        const Options& options);

/// A method is a row: everything the command line, the docs and the tests need to know.
struct Method {
  std::string_view name;
  std::string_view summary;    ///< one line for --help
  std::string_view reference;  ///< equation, paper or function
  bool uses_merged_rank = false;
  bool uses_density = false;
  bool uses_majority_sign = false;
  bool uses_seed = false;
  bool mixed_ranks = false;  ///< members may have different ranks
  bool adds_ranks = false;   ///< the rank of the result is the sum of those of its members
  bool uses_inputs = false;  ///< needs Member::inputs: examples and the base model
  MergeFunction function = nullptr;
  CostFunction cost = nullptr;
  StreamFunction stream = nullptr;  ///< null = needs all members at hand
};

/// All methods, in the order shown to users.
[[nodiscard]] std::span<const Method> methods();

/// @throws UsageError that lists the known names
[[nodiscard]] const Method& find_method(std::string_view name);

/// Checks options against the ranges above. A method that prunes needs a density; an option that
/// the method does not read must have its default (but for the seed, which other parts of a run may
/// read).
/// @throws UsageError
void validate(const Method& method, const Options& options);

/// The parameters that a method reads, as the command line calls them.
[[nodiscard]] std::vector<std::string_view> parameters_of(const Method& method);

/// The options with the defaults of those that the method does not read; the seed stays.
[[nodiscard]] Options read_by(const Method& method, Options options);

/// Merges whole adapters, module by module (union of their modules).
/// @param adapters  one map per adapter, in ascending adapter order; not empty
/// @param weights   one per adapter, finite
/// @param names     of the adapters, for messages
/// @throws InputError if shapes or ranks do not allow the method; names module and adapters
[[nodiscard]] lora::FactorMap merge_adapters(const Method& method,
                                             std::span<const lora::FactorMap* const> adapters,
                                             std::span<const double> weights,
                                             std::span<const std::string> names,
                                             const Options& options);

}  // namespace d2c::merge
