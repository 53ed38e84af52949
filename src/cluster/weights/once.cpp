#include "weights/once.hpp"

#include <span>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c::cluster {

Partition found_once(const Problem& problem, int k, CounterRng& rng,
                     const std::function<Partition(CounterRng&)>& find) {
  if (!problem.once) return find(rng);
  const std::vector<std::int64_t> numbers = problem.once([&] {
    CounterRng own = rng;
    const Partition partition = find(own);
    D2C_EXPECTS(partition.k() == k);
    std::vector<std::int64_t> result;
    for (const ClusterId cluster : partition.assignment()) result.push_back(cluster.value());
    result.push_back(static_cast<std::int64_t>(own.position()));
    return result;
  });
  D2C_EXPECTS(std::ssize(numbers) == problem.oracle.n_tasks() + 1);
  rng.skip_to(static_cast<std::uint64_t>(numbers.back()));
  Assignment assignment;
  for (const std::int64_t cluster : std::span(numbers).first(numbers.size() - 1))
    assignment.push_back(ClusterId(static_cast<int>(cluster)));
  return {std::move(assignment), k};
}

Partition found_once(const Problem& problem, int k, const std::function<Partition()>& find) {
  CounterRng unused(0, 0);
  return found_once(problem, k, unused, [&](CounterRng&) { return find(); });
}

}  // namespace d2c::cluster
