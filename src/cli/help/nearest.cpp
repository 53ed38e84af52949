#include "help/nearest.hpp"

#include <algorithm>
#include <vector>

namespace d2c::cli {
namespace {

/// Optimal string alignment: edits that turn one text into the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> edits(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        edits[i][j] = i + j;
        continue;
      }
      const std::size_t replaced = edits[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      edits[i][j] = std::min({replaced, edits[i - 1][j] + 1, edits[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
      }
    }
  }
  return edits[a.size()][b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view given, std::span<const std::string> names) {
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(1, given.size() / 3) + 1;
  for (const std::string& name : names) {
    // A name of one letter is near to everything.
    if (name.size() < 2 || given.size() > 100) continue;
    const bool begins = given.size() >= 3 && name.starts_with(given);
    const std::size_t edits = begins ? 1 : distance(given, name);
    if (edits >= least) continue;
    least = edits;
    best = name;
  }
  return best;
}

}  // namespace d2c::cli
