#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "d2c/ops/attention.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/thread_team.hpp"

#include "random_rows.hpp"
#include "test_support.hpp"
#include "threads/parallel.hpp"

// Sizes above the threshold at which work is spread over threads.

namespace d2c::ops {
namespace {

TEST(Threads, DoNotChangeTheBitsOfALinearLayer) {
  const Matrix x = test::random_matrix(500, 60, "x");
  const test::Packed w(test::random_matrix(330, 60, "w"));
  const auto run = [&](int n_threads) {
    ThreadTeam team(n_threads);
    Matrix y(500, 330);
    linear(team, rows_of(x), w.view, rows_of(y));
    return y;
  };
  const Matrix one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(3), one);
}

TEST(Threads, DoNotChangeTheBitsOfAttention) {
  const AttentionShape shape{4, 2, 32, 0.2F, 0};
  const Matrix q = test::random_matrix(300, 128, "q");
  const Matrix kv = test::random_matrix(300, 64, "kv");
  const std::vector<Segment> segments{{0, 100, -1, 0}, {100, 200, 0, 100}, {200, 300, -1, 0}};
  std::vector<Index> rows(300);
  std::iota(rows.begin(), rows.end(), Index{0});
  const auto run = [&](int n_threads) {
    ThreadTeam team(n_threads);
    Matrix out(300, 128);
    KeyMemory memory;
    memory.lay_out(shape, segments);
    memory.put(team, rows_of(kv), rows_of(kv));
    Attention attention;
    attention(team, shape, segments, memory, {rows_of(q), rows}, rows_of(out));
    return out;
  };
  const Matrix one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(3), one);
}

TEST(Threads, ShareAProductOfAnySize) {
  for (const Index rows : {1, 11, 12, 13, 265, 900}) {
    for (const Index d_out : {1, 16, 31, 33, 700}) {
      const Matrix x = test::random_matrix(rows, 700, "x");
      const test::Packed w(test::random_matrix(d_out, 700, "w"));
      const auto run = [&](int n_threads) {
        ThreadTeam team(n_threads);
        Matrix y(rows, d_out);
        add_linear(team, rows_of(x), w.view, rows_of(y));
        return y;
      };
      const Matrix one = run(1);
      for (const int n : {2, 7, 40}) EXPECT_EQ(run(n), one) << rows << " x " << d_out;
    }
  }
}

/// Runs a loop of n iterations and counts how often each was run.
std::vector<int> runs_of(ThreadTeam& team, Index n) {
  std::vector<int> runs(static_cast<std::size_t>(n));
  parallel_for(team, n, Index{1} << 40, [&](Index i) { ++runs[static_cast<std::size_t>(i)]; });
  return runs;
}

TEST(ThreadTeam, RunsEveryIterationOnceWithMoreThreadsThanProcessors) {
  for (const int n_threads : {1, 2, 3, 16}) {
    ThreadTeam team(n_threads);
    for (int round = 0; round < 300; ++round) {
      const Index n = 1 + 7 * round;
      EXPECT_EQ(runs_of(team, n), std::vector<int>(static_cast<std::size_t>(n), 1));
    }
  }
}

/// Takes some microseconds, so that other threads have time to wake.
void dawdle() {
  volatile double sum = 0.0;
  for (int i = 0; i < 20'000; ++i) sum = sum + 1.0;
}

TEST(ThreadTeam, LetsOthersHelp) {
  ThreadTeam team(2);
  std::atomic<bool> helped = false;
  parallel_for(team, 2, Index{1} << 40, [&](Index, int thread) {
    if (thread == 1) helped = true;
    for (int i = 0; i < 10'000 && !helped; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_TRUE(helped);
}

TEST(ThreadTeam, TellsThreadsApart) {
  ThreadTeam team(3);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<bool> alone = true;
  parallel_for(team, 1000, Index{1} << 40, [&](Index, int thread) {
    auto& mine = inside[static_cast<std::size_t>(thread)];
    if (mine.fetch_add(1) != 0) alone = false;
    dawdle();
    mine.fetch_sub(1);
  });
  EXPECT_TRUE(alone);
}

TEST(ThreadTeam, RunsALoopWithinALoopOnItsThreadAlone) {
  ThreadTeam team(3);
  std::vector<std::vector<int>> runs(20);
  parallel_for(team, 20, Index{1} << 40,
               [&](Index i) { runs[static_cast<std::size_t>(i)] = runs_of(team, 50); });
  for (const auto& inner : runs) EXPECT_EQ(inner, std::vector<int>(50, 1));
}

TEST(ThreadTeam, RunsBodiesSideBySide) {
  for (const int n_threads : {1, 2, 5}) {
    ThreadTeam team(n_threads);
    ThreadTeam alone;
    std::atomic<int> calls = 0;
    std::atomic<bool> right = true;
    team.run_side_by_side([&](int thread) {
      ++calls;
      if (thread < 0 || thread >= n_threads) right = false;
      // The whole team is busy, and a team of one serves all.
      for (ThreadTeam* other : {&team, &alone}) {
        if (runs_of(*other, 50) != std::vector<int>(50, 1)) right = false;
      }
      alone.run_side_by_side([&](int inner) {
        if (inner != 0) right = false;
      });
    });
    EXPECT_EQ(calls, n_threads);
    EXPECT_TRUE(right);
  }
}

TEST(ThreadTeam, RunsBodiesAtTheSameTime) {
  ThreadTeam team(2);
  std::atomic<int> inside = 0;
  team.run_side_by_side([&](int) {
    ++inside;
    for (int i = 0; i < 10'000 && inside < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_EQ(inside, 2);
}

TEST(ThreadTeam, ThrowsWhatABodyThrewWhenAllHaveEnded) {
  ThreadTeam team(3);
  std::atomic<int> ended = 0;
  EXPECT_THROW(team.run_side_by_side([&](int) {
    if (++ended == 2) throw std::runtime_error("second");
  }),
               std::runtime_error);
  EXPECT_EQ(ended, 3);
}

TEST(ThreadTeam, ServesOneOfTwoCallersAndLetsTheOtherRunAlone) {
  ThreadTeam team(2);
  std::atomic<bool> right = true;
  const auto call = [&] {
    for (int round = 0; round < 200; ++round) {
      if (runs_of(team, 100) != std::vector<int>(100, 1)) right = false;
    }
  };
  std::thread other(call);
  call();
  other.join();
  EXPECT_TRUE(right);
}

TEST(ThreadTeam, RecordsTheTimesOfLoops) {
  ThreadTeam team(2);
  LoopTimes times;
  team.record(&times);
  for (int loop = 0; loop < 3; ++loop) {
    parallel_for(team, 8, Index{1} << 40, [](Index) { dawdle(); });
  }
  team.record(nullptr);
  runs_of(team, 10);
  EXPECT_EQ(times.loops, 3);
  EXPECT_GT(times.work, 0.0);
  EXPECT_GE(times.longest, times.work / 2 * 0.999);
  EXPECT_LE(times.longest, times.work);
  EXPECT_GE(times.caller, times.waking);
}

}  // namespace
}  // namespace d2c::ops
