#include <csignal>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/results/reader.hpp"
#include "d2c/results/writer.hpp"

#include "example_run.hpp"
#include "test_support.hpp"

// HDF5 1.10 does not free the file whose closing fails on a full disk.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace d2c::results {
namespace {

using d2c::test::TempFolder;
using d2c::test::write_file;
using test::example_run;
using test::write_results;
using testing::IsEmpty;

/// Equal bit for bit, so that NaN equals itself.
template <class T>
void expect_same(const std::vector<T>& a, const std::vector<T>& b) {
  if constexpr (std::is_same_v<T, double>) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_TRUE(a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0)
        << testing::PrintToString(a) << " and " << testing::PrintToString(b);
  } else {
    EXPECT_EQ(a, b);
  }
}

void expect_same(const Baselines& a, const Baselines& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, loss] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    expect_same(loss, b.at(name));
  }
}

void expect_same(const std::optional<Unseen>& a, const std::optional<Unseen>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (!a) return;
  expect_same(a->n_examples, b->n_examples);
  expect_same(a->n_tokens, b->n_tokens);
  expect_same(a->loss, b->loss);
  EXPECT_EQ(a->objective, b->objective);
  expect_same(a->gain, b->gain);
  expect_same(a->regret, b->regret);
  expect_same(a->baselines, b->baselines);
}

void expect_same(const RunResults& a, const RunResults& b) {
  const Provenance& p = a.provenance;
  const Provenance& q = b.provenance;
  EXPECT_EQ(p.software, q.software);
  EXPECT_EQ(p.version, q.version);
  EXPECT_EQ(p.git_commit, q.git_commit);
  EXPECT_EQ(p.created_utc, q.created_utc);
  EXPECT_EQ(p.mpi_ranks, q.mpi_ranks);
  EXPECT_EQ(p.threads, q.threads);
  EXPECT_EQ(p.seed, q.seed);
  EXPECT_EQ(p.command_line, q.command_line);
  EXPECT_EQ(p.config, q.config);
  EXPECT_EQ(p.config_hash, q.config_hash);
  expect_same(a.tasks.name, b.tasks.name);
  expect_same(a.tasks.adapter, b.tasks.adapter);
  expect_same(a.tasks.n_examples, b.tasks.n_examples);
  expect_same(a.tasks.n_tokens, b.tasks.n_tokens);
  expect_same(a.tasks.weight, b.tasks.weight);
  EXPECT_EQ(a.n_clusters, b.n_clusters);
  EXPECT_EQ(a.objective_kind, b.objective_kind);
  EXPECT_EQ(a.merge_method, b.merge_method);
  expect_same(a.iterations.restart, b.iterations.restart);
  expect_same(a.iterations.assignment, b.iterations.assignment);
  expect_same(a.iterations.loss, b.iterations.loss);
  expect_same(a.iterations.objective, b.iterations.objective);
  expect_same(a.iterations.seconds, b.iterations.seconds);
  expect_same(a.iterations.moved, b.iterations.moved);
  expect_same(a.restarts.objective, b.restarts.objective);
  expect_same(a.restarts.iterations, b.restarts.iterations);
  expect_same(a.restarts.evaluations, b.restarts.evaluations);
  expect_same(a.restarts.stop_reason, b.restarts.stop_reason);
  expect_same(a.result.assignment, b.result.assignment);
  expect_same(a.result.loss, b.result.loss);
  EXPECT_EQ(a.result.objective, b.result.objective);
  expect_same(a.result.size, b.result.size);
  expect_same(a.result.gain, b.result.gain);
  expect_same(a.result.regret, b.result.regret);
  expect_same(a.baselines, b.baselines);
  expect_same(a.verify, b.verify);
  expect_same(a.heldout, b.heldout);
  expect_same(a.skipped.task, b.skipped.task);
  expect_same(a.skipped.adapter, b.skipped.adapter);
  expect_same(a.skipped.reason, b.skipped.reason);
  expect_same(a.sweep.k, b.sweep.k);
  expect_same(a.sweep.objective, b.sweep.objective);
  expect_same(a.sweep.gain, b.sweep.gain);
  expect_same(a.sweep.verify_objective, b.sweep.verify_objective);
  expect_same(a.sweep.heldout_objective, b.sweep.heldout_objective);
  expect_same(a.sweep.heldout_gain, b.sweep.heldout_gain);
  expect_same(a.sweep.evaluations, b.sweep.evaluations);
  expect_same(a.sweep.assignment, b.sweep.assignment);
  EXPECT_EQ(a.sweep.knee, b.sweep.knee);
  expect_same(a.recipe.method, b.recipe.method);
  expect_same(a.recipe.scale, b.recipe.scale);
  expect_same(a.recipe.weight, b.recipe.weight);
  expect_same(a.refine.step, b.refine.step);
  expect_same(a.refine.objective, b.refine.objective);
  expect_same(a.refine.gain, b.refine.gain);
  expect_same(a.refine.verify_objective, b.refine.verify_objective);
  expect_same(a.refine.heldout_objective, b.refine.heldout_objective);
  expect_same(a.refine.heldout_gain, b.refine.heldout_gain);
  expect_same(a.refine.changed, b.refine.changed);
  expect_same(a.refine.evaluations, b.refine.evaluations);
  EXPECT_EQ(a.distill.n_steps, b.distill.n_steps);
  expect_same(a.distill.loss, b.distill.loss);
  expect_same(a.timing.phase, b.timing.phase);
  expect_same(a.timing.min, b.timing.min);
  expect_same(a.timing.mean, b.timing.mean);
  expect_same(a.timing.max, b.timing.max);
  expect_same(a.timing.imbalance, b.timing.imbalance);
  expect_same(a.timing.host, b.timing.host);
  expect_same(a.timing.seconds, b.timing.seconds);
  EXPECT_EQ(a.evaluations.evaluated, b.evaluations.evaluated);
  EXPECT_EQ(a.evaluations.cached, b.evaluations.cached);
  EXPECT_EQ(a.evaluations.merges, b.evaluations.merges);
  EXPECT_EQ(a.evaluations.tokens, b.evaluations.tokens);
  EXPECT_EQ(a.evaluations.tokens_unshared, b.evaluations.tokens_unshared);
  expect_same(a.curve.evaluations, b.curve.evaluations);
  expect_same(a.curve.objective, b.curve.objective);
  expect_same(a.curve.seconds, b.curve.seconds);
}

/// The least a run can hold: one task, one cluster, nothing optional.
RunResults smallest_run() {
  RunResults run;
  run.tasks = {
      .name = {"only"}, .adapter = {""}, .n_examples = {1}, .n_tokens = {1}, .weight = {1.0}};
  run.n_clusters = 1;
  run.result.assignment = {0};
  run.result.loss = {0.5};
  run.result.objective = 0.5;
  run.result.size = {1};
  return run;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  return names;
}

TEST(Results, EveryFieldSurvivesWritingAndReading) {
  const TempFolder folder;
  write_results(folder / "run.h5", example_run());
  expect_same(read_results(folder / "run.h5"), example_run());
}

TEST(Results, WhatIsNotThereStaysAbsent) {
  const TempFolder folder;
  write_results(folder / "run.h5", smallest_run());
  expect_same(read_results(folder / "run.h5"), smallest_run());
}

TEST(Results, LargeHistoryIsCompressedWithoutLoss) {
  const TempFolder folder;
  RunResults run = smallest_run();
  constexpr int tasks = 400;
  constexpr int clusters = 16;
  constexpr int iterations = 50;
  run.n_clusters = clusters;
  run.tasks = {};
  for (int t = 0; t < tasks; ++t) {
    run.tasks.name.push_back("task " + std::to_string(t));
    run.tasks.adapter.push_back("adapter " + std::to_string(t));
  }
  run.tasks.n_examples.assign(tasks, 10);
  run.tasks.n_tokens.assign(tasks, 100);
  run.tasks.weight.assign(tasks, 1.0);
  run.result.assignment.assign(tasks, 3);
  run.result.loss.assign(tasks * clusters, 1.0);
  run.result.size.assign(clusters, 1);
  run.iterations.objective.assign(iterations, 1.0);
  for (int i = 0; i < iterations * tasks * clusters; ++i) {
    run.iterations.loss.push_back(i % 3 == 0 ? test::nan : 1.0 / (1 + i));
  }
  write_results(folder / "run.h5", run);
  expect_same(read_results(folder / "run.h5"), run);
  EXPECT_LT(std::filesystem::file_size(folder / "run.h5"),
            run.iterations.loss.size() * sizeof(double));
}

TEST(Results, WhatIsNotReleasedIsRemoved) {
  const TempFolder folder;
  { const ResultsWriter writer(folder / "run.h5"); }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(Results, AFolderThatDoesNotExistIsReportedBeforeTheWork) {
  const TempFolder folder;
  D2C_EXPECT_ERROR(ResultsWriter(folder / "missing/run.h5"), IoError, "missing/run.h5",
                   "No such file or directory");
}

/// A limit on the size of files of this process; stands in for a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit small = before_;
    small.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &small);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST(Results, AFullDiskIsOneErrorAndLeavesNothing) {
  const TempFolder folder;
  std::string message;
  try {
    const FileSizeLimit limit(8192);
    test::write_example(folder / "run.h5");
  } catch (const IoError& error) {
    message = error.what();
  }
  EXPECT_THAT(message, testing::HasSubstr("run.h5"));
  EXPECT_THAT(message, testing::HasSubstr("File too large"));
  EXPECT_THAT(message, testing::Not(testing::HasSubstr("\n")));
  EXPECT_THAT(names_in(folder.path()), IsEmpty());

  test::write_example(folder / "run.h5");
  expect_same(read_results(folder / "run.h5"), example_run());
}

TEST(ResultsDeathTest, AFullDiskNeverEndsInACrash) {
  const TempFolder folder;
  const auto run = [&](rlim_t bytes) {
    const FileSizeLimit limit(bytes);
    try {
      test::write_example(folder / "run.h5");
    } catch (const IoError&) {
      std::exit(3);  // with all handlers of the exit, as the program does
    }
    std::exit(0);
  };
  for (rlim_t bytes = 0; bytes < 40'000; bytes += 4'999) {
    EXPECT_EXIT(run(bytes), testing::ExitedWithCode(3), "") << bytes;
  }
}

TEST(Results, SizesThatDisagreeAreABugAndNotAFile) {
  const TempFolder folder;
  RunResults run = example_run();
  run.result.loss.pop_back();
  EXPECT_THROW(write_results(folder / "run.h5", run), ContractError);
  run = example_run();
  run.result.assignment[0] = 2;
  EXPECT_THROW(write_results(folder / "run.h5", run), ContractError);
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(Results, ForeignFilesAreNamed) {
  const TempFolder folder;
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "none.h5")), InputError, "none.h5",
                   "does not exist");
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder.path())), InputError, "is not a file");
  write_file(folder / "empty.h5", "");
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "empty.h5")), InputError, "empty.h5",
                   "is empty");
  write_file(folder / "text.h5", "This is no HDF5 file, whatever its name says.");
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "text.h5")), InputError, "text.h5",
                   "file signature not found");
}

TEST(Results, EveryTruncationIsAnError) {
  const TempFolder folder;
  test::write_example(folder / "run.h5");
  const std::string whole = json::read_text(folder / "run.h5");
  // Without the line with the checksum the content is still whole.
  const std::size_t content = whole.rfind("\nd2c crc32 ");
  ASSERT_NE(content, std::string::npos);
  for (std::size_t size = 0; size < content; size += 1 + content / 200) {
    write_file(folder / "cut.h5", std::string_view(whole).substr(0, size));
    EXPECT_THROW(static_cast<void>(read_results(folder / "cut.h5")), InputError) << size;
  }
  write_file(folder / "cut.h5", std::string_view(whole).substr(0, content - 1));
  D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "cut.h5")), InputError, "cut.h5",
                   "truncated file");
  write_file(folder / "cut.h5", std::string_view(whole).substr(0, content));
  expect_same(read_results(folder / "cut.h5"), example_run());
}

TEST(Results, EveryChangedByteIsFound) {
  const TempFolder folder;
  test::write_example(folder / "run.h5");
  const std::string whole = json::read_text(folder / "run.h5");
  const std::size_t content = whole.rfind("\nd2c crc32 ");
  for (std::size_t i = 0; i < 300; ++i) {
    std::string damaged = whole;
    const std::size_t at = i * content / 300;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
    write_file(folder / "damaged.h5", damaged);
    D2C_EXPECT_ERROR(static_cast<void>(read_results(folder / "damaged.h5")), InputError,
                     "damaged.h5", "is damaged");
  }
}

}  // namespace
}  // namespace d2c::results
