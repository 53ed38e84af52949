#pragma once

#include <string_view>

namespace d2c {

[[nodiscard]] std::string_view version();
/// Commit of the sources that were built, with `-dirty` where they differ from it; empty outside a
/// git checkout.
[[nodiscard]] std::string_view git_commit();

}  // namespace d2c
