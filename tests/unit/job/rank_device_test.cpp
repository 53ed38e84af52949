#include "engine/rank_device.hpp"

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::job {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Gpus = std::vector<std::string>;

TEST(RankDevice, RanksOfANodeTakeItsGpusInTurn) {
  const Gpus one{"a", "b"};
  const Gpus other{"c", "d"};
  EXPECT_THAT(assigned_gpus({0, 0, 1, 1}, {one, one, other, other}, 1), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(assigned_gpus({0, 1, 0, 1}, {one, other, one, other}, 1), ElementsAre(0, 0, 1, 1));
}

TEST(RankDevice, ALauncherMayShowEachRankItsOwn) {
  EXPECT_THAT(assigned_gpus({0, 0, 0}, {{"a"}, {"b"}, {"c"}}, 1), ElementsAre(0, 0, 0));
}

TEST(RankDevice, RanksShareOneOnlyWhereTheyMay) {
  const Gpus gpus{"a", "b"};
  const std::vector<Gpus> seen(5, gpus);
  EXPECT_THAT(assigned_gpus({0, 0, 0, 0, 0}, seen, 2), IsEmpty());
  EXPECT_THAT(assigned_gpus({0, 0, 0, 0, 0}, seen, 3), ElementsAre(0, 1, 0, 1, 0));
  EXPECT_THAT(assigned_gpus({0, 1}, {gpus, {}}, 1), IsEmpty());
}

TEST(RankDevice, WithoutAGpuAutomaticMeansTheCpu) {
  if (!eval::usable_gpus().empty()) GTEST_SKIP() << "this machine has a GPU";
  const auto comm = comm::make_null_communicator();
  RunOptions options;
  options.device = eval::Device::automatic;
  EXPECT_EQ(choose_engine(*comm, options).device, eval::Device::cpu);
  options.device = eval::Device::cuda;
  D2C_EXPECT_ERROR(static_cast<void>(choose_engine(*comm, options)), Error,
                   "--device cuda: ", "use --device cpu");
}

}  // namespace
}  // namespace d2c::job
