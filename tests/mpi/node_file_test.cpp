#include "d2c/comm/node_file.hpp"

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mpi_world.hpp"

namespace d2c::comm {
namespace {

using test::world;

TEST(NodeFile, EveryRankOfAHostGetsOneOpenFile) {
  const std::string name =
      broadcast_text(world(), "/tmp/d2c-node-file-" + std::to_string(::getpid()), 0);
  if (world().is_root()) std::ofstream(name) << "content";
  world().barrier();
  const int file = open_once_per_host(world(), name);
  ASSERT_GE(file, 0);
  std::array<char, 7> text{};
  EXPECT_EQ(::pread(file, text.data(), text.size(), 0), 7);
  EXPECT_EQ(std::string(text.data(), text.size()), "content");

  // A descriptor of the same opening shares its position; one of another opening has its own.
  world().barrier();
  if (world().is_root()) ::lseek(file, 3, SEEK_SET);
  world().barrier();
  EXPECT_EQ(::lseek(file, 0, SEEK_CUR), 3);
  ::close(file);
  world().barrier();
  if (world().is_root()) std::filesystem::remove(name);
}

TEST(NodeFile, AFileThatIsMissingIsMissedByAll) {
  EXPECT_EQ(open_once_per_host(world(), "/nowhere/at/all"), -ENOENT);
}

TEST(NodeFile, RanksOfOneMachineAreOnOneHost) {
  for (const auto host : hosts(world())) EXPECT_EQ(host, hosts(world()).front());
}

}  // namespace
}  // namespace d2c::comm
