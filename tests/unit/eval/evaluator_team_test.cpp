#include "d2c/eval/evaluator_team.hpp"

#include <atomic>
#include <map>
#include <stdexcept>

#include <gtest/gtest.h>

#include "d2c/eval/speed.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/threads.hpp"

namespace d2c::eval {
namespace {

/// Tasks under adapters, large enough for the threads of one unit to share its loops.
class Team : public testing::Test {
 protected:
  ~Team() override { ops::set_threads(1); }

  struct Task {
    std::vector<Batch> batches;
    Index n_examples = 0;
  };
  struct TaskUnderAdapter {
    std::size_t task = 0;
    Index adapter = 0;  ///< 0 = the base model
  };

  class List : public UnitList {
   public:
    List(Team& test, std::vector<TaskUnderAdapter> units)
        : losses(units.size()), test_(test), units_(std::move(units)), left_(units_.size()) {}

    [[nodiscard]] std::optional<Index> take(Index least) override { return left_.take(least); }
    [[nodiscard]] Index adapter(Index unit) const override { return at(unit).adapter; }
    [[nodiscard]] std::shared_ptr<const model::PreparedAdapter> prepare(Index adapter) override {
      ++prepared[adapter];
      if (adapter == 0) return nullptr;
      return std::make_shared<const model::PreparedAdapter>(
          test_.model_.config(), test_.adapters_[static_cast<std::size_t>(adapter - 1)]);
    }
    void measure(Evaluator& evaluator, Index unit) override {
      const Task& task = test_.tasks_[at(unit).task];
      ++measured;
      losses[static_cast<std::size_t>(unit)] =
          evaluator.example_losses(task.batches, task.n_examples);
    }

    std::vector<std::vector<double>> losses;  ///< [unit][example]
    std::map<Index, int> prepared;
    std::atomic<int> measured = 0;

   private:
    [[nodiscard]] const TaskUnderAdapter& at(Index unit) const {
      return units_[static_cast<std::size_t>(unit)];
    }
    Team& test_;
    std::vector<TaskUnderAdapter> units_;
    Countdown left_;
  };

  Team() {
    for (const ExampleShape& of_task :
         {ExampleShape{.n_examples = 4, .length = 60, .shared = 20},
          ExampleShape{.n_examples = 3, .length = 75, .shared = 50, .response = 9},
          ExampleShape{.n_examples = 5, .length = 33, .shared = 1, .response = 2}}) {
      const auto examples = random_examples(of_task, 3000);
      tasks_.push_back({pack(examples, LossOn::response, 2048), std::ssize(examples)});
    }
  }

  /// All tasks under all adapters, by adapter.
  [[nodiscard]] std::vector<TaskUnderAdapter> all_units() const {
    std::vector<TaskUnderAdapter> units;
    for (Index adapter = 0; adapter <= std::ssize(adapters_); ++adapter) {
      for (std::size_t task = 0; task < tasks_.size(); ++task) units.push_back({task, adapter});
    }
    return units;
  }

  const model::Model model_ = model::Model::random(llama_config({.layers = 2,
                                                                 .hidden = 144,
                                                                 .intermediate = 400,
                                                                 .heads = 9,
                                                                 .kv_heads = 3,
                                                                 .vocabulary = 3000}),
                                                   ops::WeightFormat::f32);
  const std::vector<lora::FactorMap> adapters_{random_adapter(model_.config(), 12),
                                               random_adapter(model_.config(), 3)};
  std::vector<Task> tasks_;
};

TEST_F(Team, GivesTheBitsOfOneEvaluatorWithAnyThreadsAndAnyLength) {
  std::vector<std::vector<double>> expected;
  Evaluator one(model_);
  for (const TaskUnderAdapter& unit : all_units()) {
    one.use(unit.adapter == 0 ? nullptr : &adapters_[static_cast<std::size_t>(unit.adapter - 1)]);
    expected.push_back(one.example_losses(tasks_[unit.task].batches, tasks_[unit.task].n_examples));
  }
  EvaluatorTeam team(model_);
  for (const int n_threads : {1, 2, 4, 30}) {
    ops::set_threads(n_threads);
    for (std::size_t length = 0; length <= expected.size(); ++length) {
      std::vector<TaskUnderAdapter> units = all_units();
      units.resize(length);
      List list(*this, units);
      team.run(list);
      EXPECT_EQ(list.measured, static_cast<int>(length));
      for (std::size_t u = 0; u < length; ++u) {
        EXPECT_EQ(list.losses[u], expected[u]) << n_threads << " threads, unit " << u;
      }
    }
  }
}

TEST_F(Team, PreparesAnAdapterAgainForThreadsThatAreBehindAtMost) {
  for (const int n_threads : {1, 3}) {
    ops::set_threads(n_threads);
    List list(*this, all_units());
    EvaluatorTeam(model_).run(list);
    for (const auto& [adapter, times] : list.prepared) EXPECT_LE(times, n_threads) << adapter;
  }
}

TEST_F(Team, ForgetsTheAdaptersOfTheListBefore) {
  EvaluatorTeam team(model_);
  List first(*this, {{0, 1}});
  team.run(first);
  /// Means another adapter by the same number.
  class Other final : public List {
   public:
    using List::List;
    [[nodiscard]] std::shared_ptr<const model::PreparedAdapter> prepare(Index) override {
      return List::prepare(2);
    }
  } second(*this, {{0, 1}});
  team.run(second);
  EXPECT_NE(second.losses, first.losses);
}

TEST_F(Team, PassesOnWhatAThreadThrows) {
  class Throwing final : public List {
   public:
    using List::List;
    void measure(Evaluator& evaluator, Index unit) override {
      if (unit == 4) throw std::runtime_error("unit 4");
      List::measure(evaluator, unit);
    }
  };
  EvaluatorTeam team(model_);
  for (const int n_threads : {1, 2}) {
    ops::set_threads(n_threads);
    Throwing throwing(*this, all_units());
    EXPECT_THROW(team.run(throwing), std::runtime_error);
    List list(*this, all_units());
    EXPECT_NO_THROW(team.run(list));
    EXPECT_EQ(list.measured, std::ssize(all_units()));
  }
}

TEST_F(Team, KeepsWithinTheStatedBound) {
  for (const int n_threads : {1, 2, 4}) {
    ops::set_threads(n_threads);
    EvaluatorTeam team(model_);
    std::vector<TaskUnderAdapter> units;
    for (int i = 0; i < 20; ++i) units.push_back({0, 1});
    List list(*this, units);
    team.run(list);
    const Batch& batch = tasks_[0].batches.front();
    const auto size = model::size_of(batch.forest, std::ssize(batch.targets));
    const auto scratch = static_cast<std::size_t>(n_threads) * ops::linear_scratch_bytes();
    const std::size_t stated =
        team_activation_bytes(model_.config(), size, 36, n_threads) - scratch;
    EXPECT_LE(team.workspace_bytes(), stated);
    EXPECT_GT(team.workspace_bytes(), 0U);
  }
}

TEST(Countdown, HandsOutWhatIsAtHand) {
  Countdown left(3);
  EXPECT_EQ(left.take(4), std::nullopt);
  EXPECT_EQ(left.take(3), 0);
  EXPECT_EQ(left.take(3), std::nullopt);
  EXPECT_EQ(left.take(0), 1);
  EXPECT_EQ(left.take(1), 2);
  EXPECT_EQ(left.take(0), std::nullopt);
}

}  // namespace
}  // namespace d2c::eval
