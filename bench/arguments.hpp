#pragma once

#include <string>
#include <vector>

namespace d2c {

/// The parts of a list with commas.
inline std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == ',')
      result.emplace_back();
    else
      result.back() += c;
  }
  return result;
}

}  // namespace d2c
