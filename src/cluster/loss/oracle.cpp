#include "d2c/cluster/oracle.hpp"

#include <algorithm>
#include <cmath>

namespace d2c::cluster {

std::vector<double> LossOracle::race(std::span<const TaskSet> sets, std::span<const Race> races) {
  const auto n = static_cast<std::size_t>(n_folds());
  std::vector<double> values;
  std::vector<std::size_t> place;
  std::vector<Query> queries;
  for (const Race& race : races) {
    for (std::size_t c = 0; c < race.sets.size(); ++c) {
      const auto known = std::span(race.known).subspan(c * n, n);
      if (std::ranges::any_of(known, [](double loss) { return std::isnan(loss); })) {
        place.push_back(values.size());
        queries.push_back({race.sets[c], race.task});
      }
      values.insert(values.end(), known.begin(), known.end());
    }
  }
  const std::vector<double> measured = losses(sets, queries);
  for (std::size_t q = 0; q < queries.size(); ++q)
    std::copy_n(&measured[q * n], n, &values[place[q]]);
  return values;
}

}  // namespace d2c::cluster
