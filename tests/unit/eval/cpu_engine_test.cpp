#include "cpu/cpu_engine.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "d2c/core/json.hpp"
#include "d2c/eval/countdown.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/recent_adapter.hpp"
#include "d2c/eval/speed.hpp"
#include "d2c/model/input_sites.hpp"
#include "d2c/ops/linear.hpp"

#include "test_support.hpp"

namespace d2c::eval {
namespace {

/// Tasks under adapters, large enough for the threads of one unit to share its loops.
class Cpu : public testing::Test {
 protected:
  struct TaskUnderAdapter {
    std::size_t task = 0;
    Index adapter = 0;  ///< 0 = the base model
  };

  class List : public UnitSource {
   public:
    List(const Cpu& test, LossEngine& engine, std::vector<TaskUnderAdapter> units)
        : nll(units.size()),
          test_(test),
          units_(std::move(units)),
          left_(units_.size()),
          adapters_([&](Index adapter) -> AdapterHandle {
            {
              const std::scoped_lock lock(counting_);
              ++prepared[adapter];
            }
            if (adapter == 0) return nullptr;
            return engine.prepare(test_.adapters_[static_cast<std::size_t>(adapter - 1)]);
          }) {}

    [[nodiscard]] std::optional<Unit> take(Index least) override {
      const auto index = left_.take(least);
      if (!index) return std::nullopt;
      const TaskUnderAdapter& of = units_[static_cast<std::size_t>(*index)];
      return Unit{.id = *index, .adapter = adapters_(of.adapter), .batches = test_.tasks_[of.task]};
    }
    void report(const Unit& unit, UnitResult result) override {
      EXPECT_GT(result.seconds, 0.0);
      nll[static_cast<std::size_t>(unit.id)] = std::move(result.nll);
    }

    std::vector<std::vector<double>> nll;  ///< [unit][target]
    std::map<Index, int> prepared;

   private:
    const Cpu& test_;
    std::vector<TaskUnderAdapter> units_;
    Countdown left_;
    std::mutex counting_;
    RecentAdapter adapters_;
  };

  Cpu() {
    for (const ExampleShape& of_task :
         {ExampleShape{.n_examples = 4, .length = 60, .shared = 20},
          ExampleShape{.n_examples = 3, .length = 75, .shared = 50, .response = 9},
          ExampleShape{.n_examples = 5, .length = 33, .shared = 1, .response = 2}}) {
      tasks_.push_back(pack(random_examples(of_task, 3000), LossOn::response, 2048));
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
  std::vector<std::vector<Batch>> tasks_;
};

TEST_F(Cpu, GivesTheBitsOfOneThreadWithAnyThreadsAndAnyLength) {
  const auto one = make_cpu_engine(model_, 1);
  List expected(*this, *one, all_units());
  one->losses(expected);
  for (const int n_threads : {1, 2, 4, 30}) {
    const auto engine = make_cpu_engine(model_, n_threads);
    for (std::size_t length = 0; length <= expected.nll.size(); ++length) {
      std::vector<TaskUnderAdapter> units = all_units();
      units.resize(length);
      List list(*this, *engine, units);
      engine->losses(list);
      for (std::size_t u = 0; u < length; ++u) {
        EXPECT_EQ(list.nll[u], expected.nll[u]) << n_threads << " threads, unit " << u;
      }
    }
  }
}

TEST_F(Cpu, TeachesAndDifferentiatesAlikeWithAnyThreads) {
  std::vector<TaskUnderAdapter> wanted = all_units();
  std::erase_if(wanted, [](const TaskUnderAdapter& unit) { return unit.adapter == 0; });
  std::vector<std::vector<std::vector<float>>> probabilities;  // [engine][unit]
  std::vector<std::vector<GradientResult>> gradients;
  for (const int n_threads : {1, 3, 30}) {
    const auto engine = make_cpu_engine(model_, n_threads);
    std::vector<AdapterHandle> handles;
    for (const lora::FactorMap& adapter : adapters_) handles.push_back(engine->prepare(adapter));
    std::vector<Unit> units;
    for (const auto& [task, adapter] : wanted) {
      units.push_back(
          Unit{.adapter = handles[static_cast<std::size_t>(2 - adapter)], .batches = tasks_[task]});
    }
    const auto taught = engine->most_probable(units, 7);
    auto& of_engine = probabilities.emplace_back();
    std::vector<std::vector<Lesson>> lessons;
    for (std::size_t u = 0; u < units.size(); ++u) {
      ASSERT_EQ(taught[u].size(), 1U);
      of_engine.push_back(taught[u].front().probabilities);
      const Batch& batch = units[u].batches.front();
      lessons.push_back(
          {{batch, taught[u].front(), std::vector<float>(batch.targets.size(), 0.5F)}});
    }
    std::vector<GradientUnit> learners;
    for (std::size_t u = 0; u < wanted.size(); ++u) {
      learners.push_back({handles[static_cast<std::size_t>(wanted[u].adapter - 1)], lessons[u]});
    }
    auto& results = gradients.emplace_back(learners.size());
    engine->gradients(learners, [&](Index unit, GradientResult result) {
      results[static_cast<std::size_t>(unit)] = std::move(result);
    });
    EXPECT_EQ(of_engine, probabilities.front());
    for (std::size_t u = 0; u < results.size(); ++u) {
      EXPECT_GT(results[u].loss, 0.0);
      EXPECT_EQ(results[u].loss, gradients.front()[u].loss);
      const auto& adapter = adapters_[static_cast<std::size_t>(wanted[u].adapter - 1)];
      ASSERT_EQ(results[u].gradient.size(), adapter.size());
      for (const auto& [module, d] : results[u].gradient) {
        const lora::Factors& expected = gradients.front()[u].gradient.at(module);
        EXPECT_TRUE(std::ranges::equal(d.a.values(), expected.a.values())) << module;
        EXPECT_TRUE(std::ranges::equal(d.b.values(), expected.b.values())) << module;
        EXPECT_EQ(d.a.values().size(), adapter.at(module).a.values().size());
      }
    }
    EXPECT_THROW(
        engine->gradients(learners,
                          [](Index, const GradientResult&) { throw std::runtime_error("report"); }),
        std::runtime_error);
  }
}

TEST_F(Cpu, AsksATeacherForWhatItPredicts) {
  const auto engine = make_cpu_engine(model_, 2);
  const AdapterHandle handle = engine->prepare(adapters_.front());
  std::vector<Unit> units;
  units.push_back(Unit{.adapter = handle, .batches = tasks_[1]});
  const auto taught = engine->most_probable(units, 3000);
  const auto nll = losses_of(*engine, Unit{.adapter = handle, .batches = tasks_[1]}).nll;
  const ops::SoftTargets& targets = taught.front().front();
  ASSERT_EQ(targets.size(), std::ssize(nll));
  for (std::size_t i = 0; i < nll.size(); ++i) {
    const auto label = static_cast<std::size_t>(tasks_[1].front().targets[i].label);
    const double p = static_cast<double>(targets.probabilities[i * 3000 + label]);
    EXPECT_NEAR(-std::log(p), nll[i], 1e-5);
  }
}

TEST_F(Cpu, PreparesAnAdapterAgainForThreadsThatAreBehindAtMost) {
  for (const int n_threads : {1, 3}) {
    const auto engine = make_cpu_engine(model_, n_threads);
    List list(*this, *engine, all_units());
    engine->losses(list);
    for (const auto& [adapter, times] : list.prepared) EXPECT_LE(times, n_threads) << adapter;
  }
}

TEST_F(Cpu, AddsTheSameInputsWithAnyThreads) {
  const std::vector<model::InputSite> sites = model::input_sites(model_.config());
  const auto moments = [&](int n_threads) {
    const auto engine = make_cpu_engine(model_, n_threads);
    std::vector<std::unique_ptr<lora::InputMomentSum>> sums;
    for (const model::InputSite& site : sites) {
      const lora::MomentForm form =
          site.one_hot ? lora::MomentForm::diagonal : lora::moment_form(180, site.d_in);
      sums.push_back(std::make_unique<lora::InputMomentSum>(form, site.d_in));
    }
    sums[2] = nullptr;
    engine->add_inputs(engine->prepare(adapters_.front()), tasks_.front(), sums);
    std::vector<lora::InputMoment> result;
    for (const auto& sum : sums) {
      result.push_back(sum == nullptr ? lora::InputMoment{} : sum->finish());
    }
    return result;
  };
  const auto one = moments(1);
  const auto three = moments(3);
  for (std::size_t s = 0; s < sites.size(); ++s) {
    EXPECT_EQ(one[s].values, three[s].values);
    EXPECT_EQ(one[s].values.empty(), s == 2);
  }
  EXPECT_EQ(one[1].form, lora::MomentForm::packed);  // 144 wide
  EXPECT_EQ(one[4].form, lora::MomentForm::rows);    // 400 wide
  EXPECT_EQ(one[4].n(), 20 + 4 * 39);
}

TEST_F(Cpu, PassesOnWhatASourceThrows) {
  class Throwing final : public List {
   public:
    using List::List;
    void report(const Unit& unit, UnitResult result) override {
      if (unit.id == 4) throw std::runtime_error("unit 4");
      List::report(unit, std::move(result));
    }
  };
  for (const int n_threads : {1, 2}) {
    const auto engine = make_cpu_engine(model_, n_threads);
    Throwing throwing(*this, *engine, all_units());
    EXPECT_THROW(engine->losses(throwing), std::runtime_error);
    List list(*this, *engine, all_units());
    EXPECT_NO_THROW(engine->losses(list));
    for (const auto& nll : list.nll) EXPECT_FALSE(nll.empty());
  }
}

TEST_F(Cpu, KeepsWithinTheStatedBound) {
  for (const int n_threads : {1, 2, 4}) {
    CpuEngine engine(model_, n_threads);
    List list(*this, engine, std::vector<TaskUnderAdapter>(20, {0, 1}));
    engine.losses(list);
    const Batch& batch = tasks_[0].front();
    const auto size = model::size_of(batch.forest, std::ssize(batch.targets));
    const auto scratch = static_cast<std::size_t>(n_threads) * ops::linear_scratch_bytes();
    EXPECT_LE(engine.workspace_bytes(), engine.activation_bytes(size, 36) - scratch);
    EXPECT_GT(engine.workspace_bytes(), 0U);
  }
}

TEST_F(Cpu, TellsHowManyThreadsItUses) {
  EXPECT_EQ(make_cpu_engine(model_, 1)->description(), "CPU, 1 thread");
  EXPECT_EQ(make_cpu_engine(model_, 3)->description(), "CPU, 3 threads");
}

struct Golden {
  model::Model model;
  std::vector<Example> examples;
  std::vector<std::vector<double>> base;

  explicit Golden(const std::filesystem::path& folder) : model(folder / "model") {
    const auto golden = json::read_file(folder / "golden.json");
    for (const auto& example : golden["examples"]) {
      examples.push_back(
          {example["ids"].get<std::vector<std::int32_t>>(), example["prompt_len"].get<Index>()});
    }
    base = golden["base"].get<std::vector<std::vector<double>>>();
  }
};

TEST(CpuEngine, GivesTheReferencesLossesForAnyPacking) {
  const Golden golden(test::golden("llama3-gqa-tied"));
  const auto engine = make_cpu_engine(golden.model, 1);
  TokenLosses first;
  for (const Index max_tokens : {1, 60, 4096}) {
    const auto batches = pack(golden.examples, LossOn::response, max_tokens);
    TokenLosses losses;
    add_losses(batches, losses_of(*engine, Unit{.batches = batches}).nll, losses);
    if (first.empty()) first = losses;
    EXPECT_EQ(losses, first) << "packing changes bits at " << max_tokens << " tokens";
    for (std::size_t e = 0; e < losses.size(); ++e) {
      ASSERT_EQ(losses[e].size(), golden.base[e].size());
      for (std::size_t t = 0; t < losses[e].size(); ++t) {
        EXPECT_NEAR(losses[e][t], golden.base[e][t], 2e-4) << "example " << e << " token " << t;
      }
    }
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
