#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "d2c/merge/merge.hpp"

namespace d2c::merge {

/// The merge of one module whose members come one after another, so that they need not all be in
/// memory at a time. The result is that of Method::function on all of them, bit for bit.
class ModuleMerge {
 public:
  ModuleMerge() = default;
  ModuleMerge(const ModuleMerge&) = delete;
  ModuleMerge& operator=(const ModuleMerge&) = delete;
  virtual ~ModuleMerge() = default;

  /// Takes a member, in ascending adapter order; its factors may go away afterwards.
  /// @pre it has factors
  /// @throws InputError if it does not fit those before, or the method
  virtual void add(const Member& member) = 0;
  /// Call once, after at least one member.
  [[nodiscard]] virtual lora::Factors finish() = 0;
};

/// Adds all members that have factors, and finishes.
[[nodiscard]] lora::Factors merge_all(ModuleMerge& merge, std::span<const Member> members);

/// Whether the merge holds the factors of all members at a time: its memory grows with their
/// number. The others hold no more than a few copies of the module's update.
[[nodiscard]] bool holds_all_members(const Method& method, const Options& options);

/// @param module  as in MergeFunction; copied
/// @param shape   of all members that will come
[[nodiscard]] std::unique_ptr<ModuleMerge> start_merge(const Method& method,
                                                       std::string_view module,
                                                       const UnitShape& shape,
                                                       const Options& options);

}  // namespace d2c::merge
