#include "d2c/results/summary.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "example_run.hpp"

namespace d2c::results {
namespace {

using test::example_run;
using testing::HasSubstr;
using testing::Not;

std::size_t columns(const std::string& line) {
  std::size_t count = 0;
  for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

void expect_narrow(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 100U) << line;
}

/// The line that starts with this text, without its indentation.
std::string line_of(const std::string& text, const std::string& start) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find_first_not_of(' ');
    if (first != std::string::npos && line.compare(first, start.size(), start) == 0) return line;
  }
  return "no line starts with " + start;
}

TEST(Summary, NamesTheClustersTheirTasksAndTheirMeans) {
  const std::string text = print_summary(example_run());
  expect_narrow(text);
  EXPECT_THAT(text, HasSubstr("3 tasks in 2 clusters, merged by average"));
  EXPECT_THAT(text, HasSubstr("1.700000"));
  // Cluster 1: tasks 1 and 2 with weights 0.5 and 2: (0.5 * 1.0 + 2 * 2.25) / 2.5 = 2.0.
  const std::string cluster = line_of(text, "1      2  ");
  EXPECT_THAT(cluster, HasSubstr(" 2.0000 "));
  EXPECT_THAT(cluster, HasSubstr("Straßenschild, 日本"));
  // Base: (0.5 * 2.0 + 2 * 2.5) / 2.5 = 2.4.
  EXPECT_THAT(cluster, HasSubstr(" 2.4000 "));
  EXPECT_THAT(text, HasSubstr("does not help (1):\n    日本\n"));
}

TEST(Summary, ComparesWithTheBaselinesOnBothSplits) {
  const std::string text = print_summary(example_run());
  // base: (1 * 3.0 + 0.5 * 2.0 + 2 * 2.5) / 3.5, test (3.1 + 0.5 * 2.1) / 1.5; gain 0 by
  // definition.
  EXPECT_THAT(line_of(text, "base "), HasSubstr("2.5714"));
  EXPECT_THAT(line_of(text, "base "), HasSubstr("2.7667"));
  EXPECT_THAT(line_of(text, "base "), HasSubstr("0.000"));
  EXPECT_THAT(line_of(text, "own "), HasSubstr("1.000"));
}

TEST(Summary, ShowsTheObjectiveOnEveryPartOfTheExamplesUncut) {
  RunResults run = example_run();
  ASSERT_TRUE(run.heldout);
  run.verify = run.heldout;
  run.objective_kind = "worst";
  run.result.objective = -1234567.123456;
  run.verify->objective = -2345678.234567;
  run.heldout->objective = -3456789.345678;
  const std::string text = print_summary(run);
  expect_narrow(text);
  EXPECT_THAT(text, HasSubstr("objective (worst, lower is better): -1234567.123456\n"
                              "  on examples kept from the search: -2345678.234567\n"
                              "  on the test split: -3456789.345678\n"));
  run.verify.reset();
  run.heldout.reset();
  EXPECT_THAT(print_summary(run), Not(HasSubstr("on the test split")));
}

TEST(Summary, StaysReadableWithAThousandTasksAndOddNames) {
  RunResults run = example_run();
  constexpr int tasks = 1000;
  constexpr int clusters = 64;
  run.n_clusters = clusters;
  run.tasks = {};
  run.result = {};
  run.heldout.reset();
  run.baselines.clear();
  for (int t = 0; t < tasks; ++t) {
    run.tasks.name.push_back("ein sehr langer Name für eine Aufgabe, mit Übermaß " +
                             std::to_string(t) + "\n");
    run.result.assignment.push_back(t % 7 == 0 ? 0 : t % clusters);
  }
  run.tasks.weight.assign(tasks, 1.0);
  run.result.loss.assign(tasks * clusters, 1e300);
  run.provenance.command_line.assign(5000, 'x');
  run.iterations = {};
  run.iterations.objective.assign(5000, 1.0);
  const std::string text = print_summary(run);
  expect_narrow(text);
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 150);
  EXPECT_THAT(line_of(text, "0 "), HasSubstr(" more"));
  EXPECT_THAT(text, HasSubstr("rows not shown"));
}

TEST(Summary, FollowsTheWidthOfATerminal) {
  RunResults run = example_run();
  run.tasks.name[1] = "a name that is much longer than what there is room for in a narrow terminal";
  const std::string text = print_summary(run, 80);
  std::istringstream lines(text.substr(0, text.find("the clusters against")));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80U) << line;
}

TEST(Summary, LeavesOutWhatIsNotThere) {
  RunResults run = example_run();
  run.heldout.reset();
  run.iterations = {};
  run.restarts = {};
  run.timing = {};
  run.baselines.clear();
  const std::string text = print_summary(run);
  for (const char* heading : {"iterations\n", "restarts\n", "time over ranks"}) {
    EXPECT_THAT(text, Not(HasSubstr(heading)));
  }
}

}  // namespace
}  // namespace d2c::results
