#include "d2c/comm/work_queues.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "d2c/core/timer.hpp"

#include "mpi_world.hpp"

namespace d2c::comm {
namespace {

using test::world;

/// [ranks + 1] where all items belong to one rank.
std::vector<std::uint32_t> all_at(int owner, std::uint32_t n) {
  std::vector<std::uint32_t> begin(static_cast<std::size_t>(world().size()) + 1, 0);
  for (std::size_t rank = static_cast<std::size_t>(owner) + 1; rank < begin.size(); ++rank) {
    begin[rank] = n;
  }
  return begin;
}

std::vector<std::uint32_t> evenly(std::uint32_t n) {
  std::vector<std::uint32_t> begin;
  const auto size = static_cast<std::uint32_t>(world().size());
  for (std::uint32_t rank = 0; rank <= size; ++rank) begin.push_back(n * rank / size);
  return begin;
}

/// How often each item was handed out, over all ranks; the rank's own are added to `taken`.
std::vector<std::int64_t> hand_out(WorkQueues& queues, const std::vector<std::uint32_t>& begin,
                                   std::int64_t* taken = nullptr) {
  std::vector<std::int64_t> count(begin.back(), 0);
  queues.open(begin);
  while (const auto item = queues.next()) {
    ++count.at(*item);
    if (taken != nullptr) ++*taken;
  }
  queues.close();
  world().sum(count);
  return count;
}

TEST(WorkQueues, HandOutEveryItemExactlyOnce) {
  for (const Balance balance : {Balance::fixed, Balance::dynamic}) {
    for (const int ranks_per_node : {0, 1, 2, 3}) {
      WorkQueues queues(world(), ranks_per_node, balance);
      for (const std::uint32_t n : {0U, 1U, 7U, 1000U}) {
        EXPECT_EQ(hand_out(queues, evenly(n)), std::vector<std::int64_t>(n, 1));
        for (const int owner : {0, world().size() - 1}) {
          EXPECT_EQ(hand_out(queues, all_at(owner, n)), std::vector<std::int64_t>(n, 1));
        }
      }
    }
  }
}

TEST(WorkQueues, LeavePiecesAloneWhenFixed) {
  WorkQueues queues(world(), 0, Balance::fixed);
  std::int64_t taken = 0;
  EXPECT_EQ(hand_out(queues, all_at(world().size() - 1, 50), &taken),
            std::vector<std::int64_t>(50, 1));
  EXPECT_EQ(taken, world().rank() == world().size() - 1 ? 50 : 0);
}

TEST(WorkQueues, LetSeveralThreadsTakeTheirRanksOwn) {
  for (const Balance balance : {Balance::fixed, Balance::dynamic}) {
    WorkQueues queues(world(), 0, balance);
    constexpr std::uint32_t n = 2000;
    std::vector<std::atomic<std::int64_t>> taken(n);
    queues.open(evenly(n));
    constexpr std::uint32_t least = 3;
    const auto take_all = [&] {
      while (const auto item = queues.take_own(least)) ++taken.at(*item);
    };
    std::thread other(take_all);
    take_all();
    other.join();
    while (const auto item = queues.next()) ++taken.at(*item);
    queues.close();
    std::vector<std::int64_t> count(taken.begin(), taken.end());
    world().sum(count);
    EXPECT_EQ(count, std::vector<std::int64_t>(n, 1));
  }
}

/// One rank is eight times as slow as the others, which sleep rather than compute: the machine that
/// runs the test may have fewer processors than ranks.
TEST(WorkQueues, LeaveNobodyIdleForMuchLongerThanOneItem) {
  constexpr double slow = 0.040;
  constexpr double fast = 0.005;
  constexpr std::uint32_t per_rank = 24;
  for (const int ranks_per_node : {0, 2, 1}) {
    WorkQueues queues(world(), ranks_per_node, Balance::dynamic);
    const auto begin = evenly(per_rank * static_cast<std::uint32_t>(world().size()));
    const double seconds = world().rank() == 0 ? slow : fast;
    queues.open(begin);
    const Stopwatch watch;
    while (queues.next().has_value()) {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    }
    const double done = watch.seconds();
    queues.close();
    double idle = watch.seconds() - done;
    world().maximum({&idle, 1});
    // Alone, the slow rank would keep the others waiting for 24 * (40 - 5) ms = 840 ms. An answer
    // from another node may take one item of the slow rank, and what it brings another.
    const double bound = (ranks_per_node == 0 ? 1.5 : 3.0) * slow + 0.1;
    EXPECT_LT(idle, bound) << "ranks per node " << ranks_per_node;
  }
}

}  // namespace
}  // namespace d2c::comm
