#pragma once

#include <cstdint>
#include <string>

namespace d2c::results {

/// Name and version of a kind of file, kept in its root attributes.
struct Schema {
  const char* name;
  std::int64_t version;
};

/// What a dataset says about itself in its attributes.
struct Meaning {
  std::string long_name;
  std::string units;    ///< "1" = dimensionless; empty for text
  std::string comment;  ///< e.g. the meaning of NaN
};

enum class Presence { required, optional };

}  // namespace d2c::results
