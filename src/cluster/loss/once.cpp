#include "loss/once.hpp"

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
    std::vector<std::int64_t> result(partition.assignment().begin(), partition.assignment().end());
    result.push_back(static_cast<std::int64_t>(own.position()));
    return result;
  });
  D2C_EXPECTS(std::ssize(numbers) == problem.oracle.n_tasks() + 1);
  rng.skip_to(static_cast<std::uint64_t>(numbers.back()));
  Assignment assignment;
  for (int task = 0; task < problem.oracle.n_tasks(); ++task)
    assignment.push_back(static_cast<int>(numbers[static_cast<std::size_t>(task)]));
  return {std::move(assignment), k};
}

Partition found_once(const Problem& problem, int k, const std::function<Partition()>& find) {
  CounterRng unused(0, 0);
  return found_once(problem, k, unused, [&](CounterRng&) { return find(); });
}

}  // namespace d2c::cluster
