#pragma once

#include <cstddef>
#include <string_view>

namespace d2c::text {

/// Refuses steps of a tokenizer that make a text longer and longer: each may be harmless, a row of
/// them multiplies. No form of Unicode makes a text more than 18 times as long, and the alphabet of
/// bytes not more than twice.
class GrowthLimit {
 public:
  /// @param bytes  of the text before the first step
  explicit GrowthLimit(std::size_t bytes) : largest_(most_growth * (bytes + 1024)) {}

  /// @param part  of tokenizer.json, for the message
  /// @throws InputError if the text has grown beyond the limit
  void check(std::size_t bytes, std::string_view part) const;

 private:
  static constexpr std::size_t most_growth = 64;
  std::size_t largest_;
};

}  // namespace d2c::text
