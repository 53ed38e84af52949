#include <algorithm>
#include <cmath>
#include <functional>

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/job/add_tasks.hpp"
#include "d2c/job/compare_methods.hpp"
#include "d2c/job/plan.hpp"
#include "d2c/job/run.hpp"
#include "d2c/results/writer.hpp"

#include "fake_engine.hpp"
#include "test_support.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Jobs on some tasks of the bundled data with an engine that computes nothing, as one rank without
/// MPI. The input is a copy.
class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path demo = test::source("data/demo");
    const json::Json whole = json::read_file(demo / "manifest.json");
    json::Json tasks = json::Json::array();
    for (std::size_t t = 0; t < 5; ++t) tasks.push_back(whole["tasks"][t * 8]);
    for (const json::Json& task : tasks) {
      for (const char* field : {"adapter", "examples", "test"}) {
        const std::string place = task[field];
        fs::create_directories((folder_ / place).parent_path());
        fs::copy(demo / place, folder_ / place, fs::copy_options::recursive);
      }
    }
    fs::copy(demo / "model", folder_ / "model", fs::copy_options::recursive);
    test::write_file(folder_ / "manifest.json",
                     json::Json{{"model", "model"}, {"tasks", tasks}}.dump());
    first_ = tasks[0];
    options_.manifest = folder_ / "manifest.json";
    options_.k = 2;
    options_.search = "d2c";
    options_.restarts = 2;
    options_.refinement = Refinement::none;
    context_.stop_requested = nullptr;
    context_.make_engine = [](const model::Model&, const eval::EngineChoice&) {
      return std::make_unique<test::FakeEngine>(3);
    };
  }

  [[nodiscard]] std::optional<results::RunResults> run_into(const std::string& output) {
    RunOptions options = options_;
    options.output = folder_ / output;
    return run(*comm_, options, context_);
  }

  /// Stops at the n-th moment at which a job may stop.
  void stop_after(int n) {
    context_.stop_requested = [n]() mutable { return --n < 0; };
  }

  void expect_refusal(std::initializer_list<std::string_view> words) {
    try {
      static_cast<void>(run_into("out"));
      ADD_FAILURE() << "nothing was refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      for (const std::string_view word : words) EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }

  test::TempFolder folder_;
  std::unique_ptr<comm::Communicator> comm_ = comm::make_null_communicator();
  json::Json first_;  ///< task
  RunOptions options_;
  RunContext context_;
};

void expect_same(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  if (a.empty()) return;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(double)), 0);
}

void expect_same(const results::RunResults& a, const results::RunResults& b) {
  EXPECT_EQ(a.result.assignment, b.result.assignment);
  expect_same(a.result.loss, b.result.loss);
  expect_same(a.iterations.loss, b.iterations.loss);
  expect_same(a.heldout->loss, b.heldout->loss);
  expect_same(a.refine.objective, b.refine.objective);
  EXPECT_EQ(a.refine.evaluations, b.refine.evaluations);
  EXPECT_EQ(a.restarts.evaluations, b.restarts.evaluations);
  for (const auto& [name, losses] : a.baselines) expect_same(losses, b.baselines.at(name));
  for (const auto& [name, losses] : a.heldout->baselines) {
    expect_same(losses, b.heldout->baselines.at(name));
  }
  EXPECT_EQ(a.provenance.config_hash, b.provenance.config_hash);
}

TEST_F(SessionTest, AJobThatIsStoppedAgainAndAgainEndsWithTheSameBits) {
  options_.verify_examples = 1;
  options_.restarts = 5;
  int n_checks = 0;
  context_.stop_requested = [&] { return ++n_checks < 0; };
  const auto whole = run_into("whole");
  ASSERT_TRUE(whole);
  EXPECT_GT(n_checks, 20);
  int n_stops = 0;
  for (int n = 0;; n += 3) {
    stop_after(n);
    const auto resumed = run_into("out");
    EXPECT_EQ(resumed.has_value(), !fs::exists(folder_ / "out" / "checkpoint.h5"));
    if (resumed) {
      expect_same(*whole, *resumed);
      EXPECT_LT(resumed->evaluations.evaluated, whole->evaluations.evaluated / 4);
      break;
    }
    ASSERT_LT(++n_stops, 100);
  }
  EXPECT_GT(n_stops, 3);
}

TEST_F(SessionTest, DistillationGoesOnAsIfItHadNotStopped) {
  options_.refinement = Refinement::distill;
  options_.refine_steps = 4;
  options_.verify_examples = 1;
  const auto whole = run_into("whole");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->refine.step.back(), "distill");
  EXPECT_LE(whole->refine.objective.back(), whole->refine.objective.front());
  EXPECT_EQ(whole->distill.n_steps, 4);
  int n_stops = 0;
  for (int n = 4;; n += 2) {
    stop_after(n);
    const auto resumed = run_into("out");
    if (!resumed) {
      ASSERT_LT(++n_stops, 100);
      continue;
    }
    expect_same(*whole, *resumed);
    expect_same(whole->distill.loss, resumed->distill.loss);
    break;
  }
  EXPECT_GT(n_stops, 1);
}

TEST_F(SessionTest, MedoidsGoOnAsIfTheyHadNotStopped) {
  options_.merge_method = "medoid";
  const auto whole = run_into("whole");
  ASSERT_TRUE(whole);
  for (const int n : {3, 6}) {
    stop_after(n);
    EXPECT_FALSE(run_into("out"));
  }
  context_.stop_requested = nullptr;
  const auto resumed = run_into("out");
  ASSERT_TRUE(resumed);
  expect_same(*whole, *resumed);
}

TEST_F(SessionTest, ACheckpointIsRefusedWhereTheContentOfAnInputChanges) {
  stop_after(4);
  ASSERT_FALSE(run_into("out"));
  const auto changed = [&](const std::string& file, const std::function<void(std::string&)>& how,
                           std::initializer_list<std::string_view> words) {
    SCOPED_TRACE(file);
    const std::string before = json::read_text(folder_ / file);
    std::string text = before;
    how(text);
    test::write_file(folder_ / file, text);
    expect_refusal(words);
    test::write_file(folder_ / file, before);
  };
  const std::string name = first_["name"];
  const auto longer = [](std::string& text) { text += "\n"; };
  changed(first_["examples"], longer, {"the examples of task '" + name + "' have changed"});
  changed(first_["test"], longer, {"the test examples of task '" + name + "' have changed"});
  changed(std::string(first_["adapter"]) + "/adapter_model.safetensors",
          [](std::string& text) { text[text.size() - 1] ^= 1; },
          {"the adapter of task '" + name + "' has changed"});
  changed("model/model.safetensors", [](std::string& text) { text[text.size() - 3] ^= 1; },
          {"the model weights have changed"});
  changed("model/tokenizer.json", longer, {"tokenizer.json"});
  changed("model/config.json", longer, {"config.json"});
  options_.seed = 1;
  options_.merged_dtype = DType::f16;
  expect_refusal({"--seed was 0 and is 1", "dtype", "restore what has changed"});
}

TEST_F(SessionTest, ACheckpointFitsHoweverTheInputIsSpelled) {
  const auto whole = run_into("whole");
  stop_after(6);
  ASSERT_FALSE(run_into("out"));
  context_.stop_requested = nullptr;
  json::Json manifest = json::read_file(options_.manifest);
  for (json::Json& task : manifest["tasks"]) {
    task["adapter"] = "./adapters/../" + std::string(task["adapter"]) + "/";
  }
  options_.manifest = folder_ / "moved.json";
  test::write_file(options_.manifest, manifest.dump(2));
  const auto resumed = run_into("out");
  ASSERT_TRUE(resumed);
  expect_same(*whole, *resumed);
  EXPECT_EQ(resumed->tasks.adapter, whole->tasks.adapter);
}

TEST_F(SessionTest, TasksAreAddedToAResultThatLeftSomeOut) {
  const std::string adapter = first_["adapter"];
  fs::remove_all(folder_ / adapter);
  options_.on_bad_adapter = OnBadAdapter::skip;
  const auto old = run_into("old");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->skipped.task, std::vector<std::string>{first_["name"]});
  fs::copy(test::source("data/demo") / adapter, folder_ / adapter, fs::copy_options::recursive);
  test::write_file(folder_ / "new.json",
                   json::Json{{"model", "model"}, {"tasks", json::Json::array({first_})}}.dump());
  AddOptions add;
  add.result = folder_ / "old";
  add.tasks = folder_ / "new.json";
  add.output = folder_ / "new";
  const auto whole = add_tasks(*comm_, add, context_);
  ASSERT_TRUE(whole);
  std::vector<std::string> names = old->tasks.name;
  names.push_back(first_["name"]);
  EXPECT_EQ(whole->tasks.name, names);
  EXPECT_TRUE(std::ranges::equal(old->result.assignment,
                                 std::span(whole->result.assignment).first(names.size() - 1)));
}

TEST_F(SessionTest, ConstraintsOfATaskThatWasLeftOutHoldOnceItIsAdded) {
  const json::Json whole = json::read_file(options_.manifest);
  const std::string adapter = first_["adapter"];
  fs::remove_all(folder_ / adapter);
  options_.on_bad_adapter = OnBadAdapter::skip;
  options_.constraints = folder_ / "rules.json";
  const std::string name = first_["name"];
  const json::Json pair = json::Json::array({name, whole["tasks"][1]["name"]});
  test::write_file(options_.constraints,
                   json::Json{{"together", json::Json::array({pair})}}.dump());
  ASSERT_TRUE(run_into("old"));
  const auto add = [&](json::Json task, const char* called, const char* to, const char* output) {
    task["name"] = called;
    test::write_file(folder_ / "new.json",
                     json::Json{{"model", "model"}, {"tasks", json::Json::array({task})}}.dump());
    AddOptions options;
    options.result = folder_ / to;
    options.tasks = folder_ / "new.json";
    options.output = folder_ / output;
    return add_tasks(*comm_, options, context_);
  };
  const auto once = add(whole["tasks"][2], "other", "old", "once");
  ASSERT_TRUE(once);
  EXPECT_EQ(once->skipped.task, std::vector<std::string>{name});
  const auto twice = add(whole["tasks"][3], "another", "once", "twice");
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->skipped.task, std::vector<std::string>{name});
  fs::copy(test::source("data/demo") / adapter, folder_ / adapter, fs::copy_options::recursive);
  const auto back = add(first_, name.c_str(), "twice", "back");
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->skipped.task.empty());
  EXPECT_EQ(back->result.assignment.back(), back->result.assignment.front());
}

TEST_F(SessionTest, TasksAreNotAddedToAResultWithoutTheLossesToCompareWith) {
  auto old = run_into("old");
  ASSERT_TRUE(old);
  json::Json task = first_;
  task["name"] = "new";
  test::write_file(folder_ / "new.json",
                   json::Json{{"model", "model"}, {"tasks", json::Json::array({task})}}.dump());
  AddOptions add;
  add.result = folder_ / "old";
  add.tasks = folder_ / "new.json";
  add.output = folder_ / "new";
  const fs::path file = folder_ / "old" / "results.h5";
  for (const char* name : {"own", "base"}) {
    old->baselines.erase(name);
    results::ResultsWriter writer(file);
    writer.complete(*old);
    fs::rename(writer.release(), file);
    D2C_EXPECT_ERROR((void)add_tasks(*comm_, add, context_), Error, "results.h5", "baseline/", name,
                     "is missing")
  }
}

TEST_F(SessionTest, PhasesTakeTheWholeTimeBetweenThem) {
  options_.merge_method = "regmean";
  const auto result = run_into("out");
  ASSERT_TRUE(result);
  const results::Timing& timing = result->timing;
  const auto seconds = [&](const char* phase) {
    const auto place = std::ranges::find(timing.phase, phase);
    return place == timing.phase.end()
               ? 0.0
               : timing.max[static_cast<std::size_t>(place - timing.phase.begin())];
  };
  EXPECT_GT(seconds("layer inputs"), 0.0);
  EXPECT_GT(seconds("write"), 0.0);
  double sum = -seconds("total");
  for (const double phase : timing.max) sum += phase;
  EXPECT_NEAR(sum, seconds("total"), 1e-6 * seconds("total"));
}

TEST_F(SessionTest, ARandomBaselineWhoseMergesWouldNotFitIsLeftOut) {
  options_.k = 5;
  options_.max_cluster_size = 1;
  options_.merge_method = "cat";
  // The largest module of one adapter, or of the two small ones.
  options_.members_mib = 15360.0 / (1 << 20);
  int n_left_out = 0;
  for (options_.seed = 0; options_.seed < 3; ++options_.seed) {
    const auto result = run_into(std::to_string(options_.seed));
    ASSERT_TRUE(result);
    EXPECT_TRUE(std::isnan(result->baselines.at("one").front()));
    n_left_out += std::isnan(result->baselines.at("random").front()) ? 1 : 0;
    EXPECT_TRUE(std::isfinite(result->result.objective));
  }
  EXPECT_GT(n_left_out, 0);
}

TEST_F(SessionTest, AComparisonGoesOnFromOneCheckpointForAllMethods) {
  CompareOptions options{
      .job = options_, .searches = {"d2c", "random"}, .methods = {"average", "lego"}, .n_seeds = 2};
  options.job.output = folder_ / "whole";
  const auto whole = compare_methods(*comm_, options, context_);
  options.job.output = folder_ / "out";
  for (const int n : {5, 25}) {
    stop_after(n);
    EXPECT_FALSE(compare_methods(*comm_, options, context_));
  }
  context_.stop_requested = nullptr;
  const auto resumed = compare_methods(*comm_, options, context_);
  ASSERT_TRUE(whole && resumed);
  expect_same(whole->loss, resumed->loss);
  expect_same(whole->heldout_loss, resumed->heldout_loss);
  EXPECT_EQ(whole->measured, resumed->measured);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "out"), {}), 2);
}

TEST_F(SessionTest, AComparisonKnowsItsSearchesBeforeItBegins) {
  CompareOptions options{.job = options_, .searches = {"d2c", "nonsense"}, .methods = {"average"}};
  options.job.output = folder_ / "out";
  D2C_EXPECT_ERROR((void)compare_methods(*comm_, options, context_), Error,
                   "there is no search 'nonsense'")
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(SessionTest, ASearchOfTooManyTasksIsRefusedBeforeOthersBegin) {
  json::Json manifest = json::read_file(options_.manifest);
  for (int t = 0; t < 10; ++t) {
    json::Json task = first_;
    task["name"] = "again " + std::to_string(t);
    manifest["tasks"].push_back(task);
  }
  test::write_file(options_.manifest, manifest.dump());
  std::string log;
  context_.log = [&](const std::string& line) { log += line + "\n"; };
  options_.search = "exhaustive";
  D2C_EXPECT_ERROR((void)run_into("out"), Error, "exhaustive search of 15 tasks", "14 tasks")
  D2C_EXPECT_ERROR((void)make_plan(*comm_, options_), Error, "exhaustive search of 15 tasks")
  options_.search = "auto";
  CompareOptions options{
      .job = options_, .searches = {"random", "exhaustive"}, .methods = {"average"}};
  options.job.output = folder_ / "compared";
  D2C_EXPECT_ERROR((void)compare_methods(*comm_, options, context_), Error,
                   "exhaustive search of 15 tasks")
  EXPECT_THAT(log, testing::Not(HasSubstr("random K = 2")));
}

TEST_F(SessionTest, TheTimeLimitEndsSearchAndRefinementEarly) {
  options_.refinement = Refinement::distill;
  options_.max_hours = 1e-12;
  std::string log;
  context_.log = [&](const std::string& line) { log += line + "\n"; };
  const auto result = run_into("out");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->restarts.objective.size(), 1U);
  EXPECT_EQ(result->refine.step, std::vector<std::string>{"start"});
  EXPECT_THAT(log, HasSubstr("refinement ended early"));
}

}  // namespace
}  // namespace d2c::job
