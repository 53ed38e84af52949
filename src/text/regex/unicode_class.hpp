#pragma once

#include <string>

namespace d2c::text {

/// Whether PCRE2 knows a property by this name: "L", "Alphabetic", "sc:Han".
[[nodiscard]] bool knows_property(const std::string& name);

/// The characters of a property by ICU's version of Unicode, which is newer than PCRE2's, as the
/// inside of a set: PCRE2's own class and the ranges that it lacks, or ranges only. Where the two
/// agree, that is `\p{name}`.
[[nodiscard]] std::string members_of(const std::string& name);

/// All other characters, likewise.
[[nodiscard]] std::string others_than(const std::string& name);

}  // namespace d2c::text
