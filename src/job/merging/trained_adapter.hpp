#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/core/id.hpp"
#include "d2c/lora/factors.hpp"

namespace d2c::job {

/// A merged adapter that was trained further. Each of its modules lies on one rank.
struct TrainedAdapter {
  struct Part {
    ModuleId module;
    int by = 0;      ///< rank that has it
    Index rank = 0;  ///< of the factors
  };
  std::string name;                       ///< how it came about, for people
  std::string key;                        ///< the same with all that decides its values
  std::vector<Part> parts;                ///< ascending by module; the same on every rank
  std::map<ModuleId, lora::Factors> own;  ///< those of this rank
};

}  // namespace d2c::job
