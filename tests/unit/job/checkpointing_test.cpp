#include "session/checkpointing.hpp"

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"

#include "input/identity.hpp"
#include "test_support.hpp"

namespace d2c::job {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const results::LossKey average_key{"average", "few_shot", {0}, {1.0}};

class CheckpointingTest : public testing::Test {
 protected:
  [[nodiscard]] Checkpointing make(const std::filesystem::path& file, const std::string& seed,
                                   KnownLosses& known) {
    context_.log = [this](const std::string& line) { log_.push_back(line); };
    context_.stop_requested = [this] { return stop_; };
    return {*comm_, options_, context_, file, {{"--seed", seed}}, known};
  }

  test::TempFolder folder_;
  std::unique_ptr<comm::Communicator> comm_ = comm::make_null_communicator();
  RunOptions options_;
  RunContext context_;
  std::vector<std::string> log_;
  bool stop_ = false;
};

TEST_F(CheckpointingTest, AStopKeepsWhatIsKnownForTheNextRun) {
  KnownLosses known;
  Checkpointing checkpointing = make(folder_ / "c", "0", known);
  checkpointing.resume();
  known.add(average_key, 4, std::vector{1.5, 2.5});
  EXPECT_FALSE(checkpointing.check());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "c"));
  stop_ = true;
  EXPECT_THROW(checkpointing.check(), Stopped);

  KnownLosses again;
  stop_ = false;
  Checkpointing next = make(folder_ / "c", "0", again);
  next.resume();
  EXPECT_THAT(again.find(average_key, 4), ElementsAre(1.5, 2.5));
  EXPECT_THAT(log_, ElementsAre(HasSubstr("going on from")));
  for (const char* training : {"c.training.0", "c.training.1"}) {
    test::write_file(folder_ / training, "");
  }
  next.remove();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(CheckpointingTest, ACheckpointOfAnotherJobIsRefusedByWhatDiffers) {
  KnownLosses known;
  stop_ = true;
  EXPECT_THROW(make(folder_ / "c", "0", known).check(), Stopped);
  D2C_EXPECT_ERROR(make(folder_ / "c", "1", known).resume(), Error, "c: is of another job",
                   "--seed was 0 and is 1");
}

TEST_F(CheckpointingTest, OneThatCannotBeWrittenIsToldOnceAndEndsNothing) {
  options_.checkpoint_minutes = 1e-12;
  KnownLosses known;
  Checkpointing checkpointing = make(folder_ / "missing" / "c", "0", known);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(checkpointing.check());
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_THAT(log_[0], testing::AllOf(HasSubstr("warning: "), HasSubstr("No such file"),
                                      HasSubstr("the job goes on")));
  std::filesystem::create_directory(folder_ / "missing");
  EXPECT_FALSE(checkpointing.check());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "missing" / "c"));
}

TEST_F(CheckpointingTest, AStopThatCannotBeKeptIsAnError) {
  KnownLosses known;
  Checkpointing checkpointing = make(folder_ / "missing" / "c", "0", known);
  stop_ = true;
  D2C_EXPECT_ERROR(checkpointing.check(), Error, "a signal stopped the job", "No such file",
                   "is lost");
}

TEST_F(CheckpointingTest, TheTimeLimitEndsNothingByItself) {
  options_.max_hours = 1e-12;
  KnownLosses known;
  Checkpointing checkpointing = make(folder_ / "c", "0", known);
  EXPECT_TRUE(checkpointing.check());
  EXPECT_TRUE(checkpointing.check());
}

TEST(Identity, TellsWhatDiffers) {
  const results::Identity before{
      {"--seed", "0"}, {"tasks", "1"}, {"adapter of task 'a'", "2"}, {"examples of task 'a'", "3"}};
  EXPECT_EQ(differences(before, before), "");
  results::Identity now = before;
  now["--seed"] = "1";
  now["adapter of task 'a'"] = now["examples of task 'a'"] = "9";
  now["constraints"] = "4";
  EXPECT_EQ(differences(before, now),
            "--seed was 0 and is 1, the adapter of task 'a' has changed, the constraints have "
            "changed, and 1 more");
  now = before;
  now["tasks"] = "7";
  now["examples of task 'b'"] = "3";
  EXPECT_EQ(differences(before, now), "the tasks have changed");
  EXPECT_NE(hash_of(before), hash_of(now));
}

}  // namespace
}  // namespace d2c::job
