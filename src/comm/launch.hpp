#pragma once

#include <functional>
#include <optional>
#include <string>

namespace d2c::comm {

/// A launcher that started several processes which do not know of each other.
struct Misfit {
  std::string variable;  ///< of the environment, that says so
  std::string value;
};

/// What a launcher's variables say against a world of one rank: each of its processes would do the
/// whole job by itself. Nothing if one process was meant, such as one typed in the shell of a SLURM
/// allocation.
/// @param variable  looks up an environment variable
[[nodiscard]] std::optional<Misfit> find_misfit(
    const std::function<const char*(const char*)>& variable);

}  // namespace d2c::comm
