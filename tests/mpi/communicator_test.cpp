#include <algorithm>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

#include "mpi_world.hpp"

namespace d2c::comm {
namespace {

using test::world;

/// Bytes that only this pair of ranks would send.
std::vector<std::byte> letter(int from, int to, std::size_t size) {
  CounterRng rng(static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to));
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(rng.below(256));
  return bytes;
}

TEST(Communicator, ReducesOverAllRanks) {
  const int n = world().size();
  std::vector<double> values{static_cast<double>(world().rank()), 1.0};
  world().sum(values);
  EXPECT_EQ(values, (std::vector<double>{n * (n - 1) / 2.0, static_cast<double>(n)}));
  std::vector<std::int64_t> integers{world().rank() == 0 ? 7 : 0};
  world().sum(integers);
  EXPECT_EQ(integers.front(), 7);
  double rank = world().rank();
  world().maximum({&rank, 1});
  EXPECT_EQ(rank, n - 1);
  rank = world().rank();
  world().minimum({&rank, 1});
  EXPECT_EQ(rank, 0);
}

TEST(Communicator, SumWithOneContributorIsExact) {
  CounterRng rng(3, 0);
  std::vector<double> expected(100);
  for (double& value : expected) value = rng.normal() * 1e-7;
  std::vector<double> values(expected.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (static_cast<int>(i) % world().size() == world().rank()) values[i] = expected[i];
  }
  world().sum(values);
  EXPECT_EQ(values, expected);
}

TEST(Communicator, BroadcastsFromEveryRank) {
  for (int root = 0; root < world().size(); ++root) {
    const auto expected = letter(root, root, 100 + static_cast<std::size_t>(root));
    EXPECT_EQ(
        world().broadcast(world().rank() == root ? expected : std::vector<std::byte>(3), root),
        expected);
  }
  EXPECT_EQ(broadcast_text(world(), world().is_root() ? "" : "x", 0), "");
}

TEST(Communicator, GathersPartsOfDifferentSizes) {
  const auto size_of = [](int rank) { return static_cast<std::size_t>(rank % 3) * 50; };
  const auto all = world().all_gather(letter(world().rank(), 0, size_of(world().rank())));
  ASSERT_EQ(std::ssize(all), world().size());
  for (int rank = 0; rank < world().size(); ++rank) {
    EXPECT_EQ(all[static_cast<std::size_t>(rank)], letter(rank, 0, size_of(rank)));
  }
}

TEST(Communicator, ExchangesBetweenAnyPairs) {
  const auto sends = [](int from, int to) { return (from * 7 + to * 3) % 4 != 0; };
  const auto size_of = [](int from, int to) {
    return static_cast<std::size_t>(1 + from * 100 + to);
  };
  std::vector<Parcel> outgoing;
  std::vector<Parcel> incoming;
  const int me = world().rank();
  for (int other = 0; other < world().size(); ++other) {
    if (sends(me, other)) outgoing.push_back({other, letter(me, other, size_of(me, other))});
    if (sends(other, me)) {
      incoming.push_back({other, std::vector<std::byte>(size_of(other, me))});
    }
  }
  world().exchange(outgoing, incoming);
  for (const Parcel& parcel : incoming) {
    EXPECT_EQ(parcel.bytes, letter(parcel.rank, me, size_of(parcel.rank, me)));
  }
}

TEST(NodeMemory, IsSeenByAllRanksOfANodeAndByNoOther) {
  for (const int ranks_per_node : {0, 1, 2}) {
    const auto memory = world().allocate_on_node(1000, ranks_per_node);
    ASSERT_EQ(memory->bytes().size(), 1000U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->bytes().data()) % 64, 0U);
    const int node = ranks_per_node == 0 ? 0 : world().rank() / ranks_per_node;
    EXPECT_EQ(memory->is_writer(), world().rank() == node * ranks_per_node);
    if (memory->is_writer()) {
      std::ranges::copy(letter(node, 99, 1000), memory->bytes().begin());
    }
    memory->publish();
    EXPECT_TRUE(std::ranges::equal(memory->bytes(), letter(node, 99, 1000)));
    world().barrier();
  }
}

/// Bytes of this process's memory, in which a page that n processes share counts as an n-th. -1
/// where the system does not tell.
double proportional_set_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == "Pss:" && file >> kib) return kib * 1024;
  }
  return -1;
}

TEST(NodeMemory, TakesMemoryOncePerNode) {
#ifdef D2C_SANITIZED
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  constexpr std::size_t size = std::size_t{64} << 20;
  for (const int ranks_per_node : {0, 2}) {
    world().barrier();
    const double before = proportional_set_bytes();
    if (before < 0) GTEST_SKIP() << "/proc/self/smaps_rollup is absent";
    const auto memory = world().allocate_on_node(size, ranks_per_node);
    if (memory->is_writer()) std::ranges::fill(memory->bytes(), std::byte{1});
    memory->publish();
    const auto sum = std::accumulate(
        memory->bytes().begin(), memory->bytes().end(), std::size_t{0},
        [](std::size_t so_far, std::byte byte) { return so_far + static_cast<std::size_t>(byte); });
    EXPECT_EQ(sum, size);  // every rank has touched every page
    world().barrier();
    double grown = proportional_set_bytes() - before;
    world().barrier();
    world().sum({&grown, 1});
    const double copies = grown / static_cast<double>(size);
    EXPECT_NEAR(copies, world().nodes(ranks_per_node).n_nodes, 0.1);
  }
}

TEST(NodeMemory, HoldsThePartsOfAllNodesOnEachOfThem) {
  for (const int ranks_per_node : {0, 1, 2, 3}) {
    const NodeMap nodes = world().nodes(ranks_per_node);
    ASSERT_EQ(std::ssize(nodes.of_rank), world().size());
    const int n_nodes =
        ranks_per_node == 0 ? 1 : (world().size() + ranks_per_node - 1) / ranks_per_node;
    EXPECT_EQ(nodes.n_nodes, n_nodes);
    // Every rank writes 100 bytes more than the one before, in the part of its node.
    const auto size_of = [](int rank) { return 100 * static_cast<std::size_t>(rank); };
    std::vector<std::size_t> offset(nodes.of_rank.size());
    std::vector<std::size_t> part_begin{0};
    std::size_t end = 0;
    for (int node = 0; node < n_nodes; ++node) {
      for (int rank = 0; rank < world().size(); ++rank) {
        if (nodes.of_rank[static_cast<std::size_t>(rank)] != node) continue;
        offset[static_cast<std::size_t>(rank)] = end;
        end += size_of(rank);
      }
      end = (end + 63) / 64 * 64;
      part_begin.push_back(end);
    }
    const auto memory = world().allocate_on_node(end + 1, ranks_per_node);
    for (int repeat = 0; repeat < 2; ++repeat) {
      const int me = world().rank();
      std::ranges::copy(letter(me, repeat, size_of(me)),
                        memory->bytes().begin() +
                            static_cast<std::ptrdiff_t>(offset[static_cast<std::size_t>(me)]));
      memory->share_parts(part_begin);
      for (int rank = 0; rank < world().size(); ++rank) {
        EXPECT_TRUE(std::ranges::equal(
            memory->bytes().subspan(offset[static_cast<std::size_t>(rank)], size_of(rank)),
            letter(rank, repeat, size_of(rank))));
      }
      world().barrier();
    }
  }
}

TEST(Communicator, KeepsExchangesThatOverlapApart) {
  const int me = world().rank();
  const int next = (me + 1) % world().size();
  const int before = (me + world().size() - 1) % world().size();
  const std::vector<Parcel> first{{next, letter(me, 1, 1000)}};
  const std::vector<Parcel> second{{next, letter(me, 2, 70)}};
  std::vector<Parcel> first_in{{before, std::vector<std::byte>(1000)}};
  std::vector<Parcel> second_in{{before, std::vector<std::byte>(70)}};
  const auto one = world().start_exchange(first, first_in);
  const auto two = world().start_exchange(second, second_in);
  two->wait();
  one->wait();
  EXPECT_EQ(first_in[0].bytes, letter(before, 1, 1000));
  EXPECT_EQ(second_in[0].bytes, letter(before, 2, 70));
}

TEST(Mailbox, BringsEveryLetterBeforeAllLeaveTheBarrier) {
  const auto mailbox = world().open_mailbox();
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto n = static_cast<std::uint64_t>(world().size());
    for (int to = 0; to < world().size(); ++to) {
      mailbox->post(to, {static_cast<std::uint64_t>(world().rank()), 7, 8});
    }
    std::uint64_t sum = 0;
    for (std::uint64_t received = 0; received < n;) {
      const auto letter = mailbox->look();
      if (!letter.has_value()) continue;
      EXPECT_EQ(letter->content[0], static_cast<std::uint64_t>(letter->from));
      EXPECT_EQ(letter->content[2], 8U);
      sum += letter->content[0];
      ++received;
    }
    EXPECT_EQ(sum, n * (n - 1) / 2);
    mailbox->arrive();
    while (!mailbox->all_arrived()) EXPECT_FALSE(mailbox->look().has_value());
    world().barrier();  // or a letter of the next round may come before this rank has left
  }
}

TEST(Agree, GivesTheErrorOfTheLowestFailingRankToAll) {
  const int last = world().size() - 1;
  const int first_failing = last / 2;
  try {
    agree(world(), [&] {
      if (world().rank() >= first_failing) {
        throw InputError({"file" + std::to_string(world().rank()), "", 7},
                         {"is wrong", "2:1 odds", "mend it"});
      }
    });
    FAIL() << "no error";
  } catch (const AgreedError& error) {
    const std::string file = "file" + std::to_string(first_failing);
    EXPECT_EQ(error.what(), file + ":7: is wrong (2:1 odds); mend it");
    EXPECT_EQ(error.where().file, file);
    EXPECT_EQ(error.where().line, 7);
    EXPECT_EQ(error.message().why, "2:1 odds");
    EXPECT_EQ(error.message().fix, "mend it");
    EXPECT_EQ(error.code(), ExitCode::bad_input);
  }
  EXPECT_NO_THROW(agree(world(), [] {}));
}

TEST(Agree, TurnsForeignExceptionsIntoFailures) {
  try {
    agree(world(), [&] {
      if (world().rank() == world().size() - 1) throw std::runtime_error("odd");
    });
    FAIL() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_NE(std::string(error.what()).find("internal error: odd"), std::string::npos);
    EXPECT_EQ(error.code(), ExitCode::failure);
  }
}

}  // namespace
}  // namespace d2c::comm
