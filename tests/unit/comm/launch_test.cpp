#include "launch.hpp"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace d2c::comm {
namespace {

/// The variable that tells of processes which do not know of each other; empty = none.
std::string misfit(const std::map<std::string, std::string>& variables) {
  const auto found = find_misfit([&](const char* name) {
    const auto entry = variables.find(name);
    return entry == variables.end() ? nullptr : entry->second.c_str();
  });
  return found ? found->variable : "";
}

TEST(Launch, OneProcessThatWasMeantIsNoMisfit) {
  EXPECT_EQ(misfit({}), "");
  EXPECT_EQ(misfit({{"OMPI_COMM_WORLD_SIZE", "1"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}),
            "");
  EXPECT_EQ(misfit({{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}}), "");
  EXPECT_EQ(misfit({{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}), "");
}

TEST(Launch, AShellInAnAllocationIsNoTask) {
  EXPECT_EQ(misfit({{"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "7"}}), "");
  EXPECT_EQ(misfit({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}),
            "");
}

TEST(Launch, LaunchersOfOtherMpisAreNamedByTheirVariable) {
  EXPECT_EQ(misfit({{"PMI_SIZE", "4"}, {"PMI_RANK", "0"}}), "PMI_SIZE");
  EXPECT_EQ(misfit({{"OMPI_COMM_WORLD_SIZE", "2"}}), "OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(misfit({{"PMIX_RANK", "3"}}), "PMIX_RANK");
  EXPECT_EQ(misfit({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}), "SLURM_NTASKS");
  EXPECT_EQ(misfit({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}}),
            "SLURM_STEP_NUM_TASKS");
}

}  // namespace
}  // namespace d2c::comm
