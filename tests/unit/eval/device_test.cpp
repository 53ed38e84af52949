#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "d2c/core/json.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/engine_choice.hpp"
#include "d2c/eval/speed.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/tensor/dtype.hpp"

#include "../model/tiny_model.hpp"
#include "cuda/cuda.hpp"
#include "device/device_engine.hpp"
#include "host_backend.hpp"
#include "test_support.hpp"

// The engine of a GPU. test_eval has all of it but the GPU: a CPU runs its kernels, and its
// products in a plain loop. test_gpu runs the same tests on the first GPU, and skips them where
// there is none.

namespace d2c::eval {
namespace {

using json::Json;
using test::HostBackend;

#ifdef D2C_TEST_ON_GPU
#define D2C_SKIP_WITHOUT_DEVICE()                                              \
  if (const std::string missing = cuda::what_is_missing(); !missing.empty()) { \
    GTEST_SKIP() << missing;                                                   \
  }

std::unique_ptr<LossEngine> device_engine(const model::Model& model, Index pass_rows = 32768,
                                          bool is_bf16 = false) {
  return make_engine(model, {.device = Device::cuda,
                             .compute = is_bf16 ? ops::Arithmetic::bf16 : ops::Arithmetic::f32,
                             .pass_tokens = pass_rows});
}
#else
#define D2C_SKIP_WITHOUT_DEVICE()

std::unique_ptr<LossEngine> device_engine(const model::Model& model, Index pass_rows = 32768,
                                          bool is_bf16 = false) {
  return std::make_unique<device::DeviceEngine>(
      model, 1, std::make_unique<HostBackend>(),
      device::DeviceEngine::Settings{"host", is_bf16, pass_rows});
}
#endif

/// Losses of batches under adapters, which a source hands out in an order of its own.
struct Wanted {
  AdapterHandle adapter;
  std::span<const Batch> batches;
};
class Source : public UnitSource {
 public:
  Source(std::vector<Wanted> wanted, std::vector<std::size_t> order)
      : nll(wanted.size()), wanted_(std::move(wanted)), order_(std::move(order)) {}

  [[nodiscard]] std::optional<Unit> take(Index least) override {
    if (std::ssize(order_) - std::ssize(reported_) < least || next_ == order_.size()) return {};
    const std::size_t unit = order_[next_++];
    return Unit{.id = static_cast<Index>(unit),
                .adapter = wanted_[unit].adapter,
                .batches = wanted_[unit].batches};
  }
  [[nodiscard]] std::optional<Unit> fetch() override {
    EXPECT_EQ(reported_.size(), next_) << "every unit that was taken is reported";
    return take(1);
  }
  void report(const Unit& unit, UnitResult result) override {
    EXPECT_GT(result.seconds, 0.0);
    reported_.push_back(unit.id);
    nll[static_cast<std::size_t>(unit.id)] = std::move(result.nll);
  }

  std::vector<std::vector<double>> nll;  ///< [unit][target]

 private:
  std::vector<Wanted> wanted_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0;
  std::vector<Index> reported_;
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b.at(i));
    if (!(difference <= largest)) largest = difference;  // NaN is larger
  }
  return largest;
}

class GoldenOnDevice : public testing::TestWithParam<std::string> {};

TEST_P(GoldenOnDevice, LossesOfBaseAndAdaptersAreThoseOfTheReferenceForAnyPacking) {
  D2C_SKIP_WITHOUT_DEVICE();
  constexpr double tolerance = 2e-4;
  const auto folder = test::golden(GetParam());
  const Json golden = json::read_file(folder / "golden.json");
  std::vector<Example> examples;
  for (const Json& example : golden.at("examples")) {
    examples.push_back(
        {example["ids"].get<std::vector<std::int32_t>>(), example["prompt_len"].get<Index>()});
  }
  const model::Model model(folder / "model");
  const auto engine = device_engine(model);
  const auto check = [&](const AdapterHandle& adapter, const Json& reference,
                         const std::string& name) {
    std::vector<double> expected;
    for (const Json& example : reference) {
      for (const Json& nll : example) expected.push_back(nll.get<double>());
    }
    TokenLosses first;
    for (const Index max_tokens : {4096, 60, 1}) {
      const auto batches = pack(examples, LossOn::response, max_tokens);
      TokenLosses losses;
      add_losses(batches, losses_of(*engine, Unit{.adapter = adapter, .batches = batches}).nll,
                 losses);
      if (first.empty()) first = losses;
      EXPECT_EQ(losses, first) << "packing changes bits at " << max_tokens << " tokens";
    }
    std::vector<double> nll;
    for (const auto& of_example : first)
      nll.insert(nll.end(), of_example.begin(), of_example.end());
    const double error = largest_difference(nll, expected);
    std::cout << name << ": largest error " << error << '\n';
    EXPECT_LE(error, tolerance) << name;
  };
  check(nullptr, golden.at("base"), "base");
  for (const auto& [name, reference] : golden.at("adapters").items()) {
    const auto adapter = lora::read_adapter(folder / "adapters" / name, model.target_modules());
    check(engine->prepare(adapter.modules), reference, name);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenOnDevice,
                         testing::Values("llama-mha", "llama3-gqa-tied", "qwen2", "stablelm2",
                                         "mistral-sliding", "qwen3", "llama-v5-config", "gemma2",
                                         "gemma3", "granite", "olmo2", "phi3", "smollm3"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

/// Features that the golden models do not have, in sizes that the kernels take.
std::vector<Json> features() {
  std::vector<Json> all{
      {{"model_type", "llama"}, {"attention_bias", true}, {"mlp_bias", true}},
      {{"model_type", "llama"}, {"hidden_act", "gelu"}, {"num_key_value_heads", 4}},
      {{"model_type", "llama"}, {"hidden_act", "relu"}, {"head_dim", 40}},
      {{"model_type", "llama"}, {"hidden_act", "gelu_pytorch_tanh"}, {"head_dim", 72}},
      {{"model_type", "llama"}, {"head_dim", 136}, {"num_key_value_heads", 1}},
      {{"model_type", "llama"}, {"num_attention_heads", 6}, {"num_key_value_heads", 2}},
      {{"model_type", "stablelm"}, {"use_parallel_residual", true}, {"use_qkv_bias", true}},
      {{"model_type", "stablelm"}, {"qk_layernorm", true}, {"partial_rotary_factor", 0.5}},
      {{"model_type", "exaone4"}, {"sliding_window", 6}, {"sliding_window_pattern", 2}},
      {{"model_type", "olmo3"},
       {"sliding_window", 6},
       {"layer_types", {"sliding_attention", "full_attention"}}},
      {{"model_type", "hunyuan_v1_dense"}, {"attention_bias", true}},
      {{"model_type", "gemma2"},
       {"sliding_window", 6},
       {"attn_logit_softcapping", 1.5},
       {"final_logit_softcapping", 2.0},
       {"query_pre_attn_scalar", 5}},
      {{"model_type", "phi3"},
       {"partial_rotary_factor", 0.75},
       {"original_max_position_embeddings", 24},
       {"rope_scaling",
        {{"type", "su"}, {"short_factor", {1.0, 1.2, 1.5}}, {"long_factor", {2.0, 3.0, 4.0}}}}},
      {{"model_type", "ministral3"},
       {"rope_parameters",
        {{"rope_type", "yarn"},
         {"rope_theta", 90.0},
         {"factor", 4.0},
         {"beta_fast", 4.0},
         {"mscale", 1.0},
         {"mscale_all_dim", 1.0},
         {"original_max_position_embeddings", 16},
         {"max_position_embeddings", 64},
         {"llama_4_scaling_beta", 0.4}}}},
  };
  for (Json& config : all) {
    config["hidden_size"] = 24;
    config["intermediate_size"] = 32;
    if (!config.contains("head_dim")) config["head_dim"] = 8;
  }
  return all;
}

class FeatureOnDevice : public testing::TestWithParam<Json> {};

TEST_P(FeatureOnDevice, LossesAreThoseOfTheCpu) {
  D2C_SKIP_WITHOUT_DEVICE();
  const test::TinyModel tiny = test::tiny_model(GetParam());
  const model::Model model = load(tiny);
  const auto cpu = make_cpu_engine(model, 1);
  const auto device = device_engine(model, 40);
  std::vector<Example> examples =
      random_examples({.n_examples = 4, .length = 38, .shared = 9, .response = 20}, 50);
  const auto shorter =
      random_examples({.n_examples = 3, .length = 20, .shared = 4, .response = 8}, 50);
  examples.insert(examples.end(), shorter.begin(), shorter.end());
  const auto batches = pack(examples, LossOn::response, 100, model.config().short_until());
  const lora::FactorMap factors = test::tiny_adapter(tiny, 3);
  for (const bool has_adapter : {false, true}) {
    const auto nll = [&](LossEngine& engine) {
      return losses_of(engine, Unit{.adapter = has_adapter ? engine.prepare(factors) : nullptr,
                                    .batches = batches})
          .nll;
    };
    EXPECT_LE(largest_difference(nll(*device), nll(*cpu)), 2e-5) << has_adapter;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FeatureOnDevice, testing::ValuesIn(features()));

/// Tasks under adapters.
class OnDevice : public testing::Test {
 protected:
  OnDevice() {
    for (const ExampleShape& of_task :
         {ExampleShape{.n_examples = 4, .length = 60, .shared = 20, .response = 8},
          ExampleShape{.n_examples = 3, .length = 75, .shared = 50, .response = 9},
          ExampleShape{.n_examples = 5, .length = 33, .shared = 1, .response = 2}}) {
      tasks_.push_back(pack(random_examples(of_task, 4200), LossOn::response, 100));
    }
  }
  [[nodiscard]] std::vector<Wanted> all_units(LossEngine& engine) const {
    std::vector<Wanted> wanted;
    std::vector<AdapterHandle> handles{nullptr};
    for (const lora::FactorMap& adapter : adapters_) handles.push_back(engine.prepare(adapter));
    for (const AdapterHandle& handle : handles) {
      for (const auto& task : tasks_) wanted.push_back({handle, task});
    }
    return wanted;
  }

  const model::Model model_ = model::Model::random(llama_config({.layers = 2,
                                                                 .hidden = 48,
                                                                 .intermediate = 104,
                                                                 .heads = 6,
                                                                 .kv_heads = 2,
                                                                 .vocabulary = 4200}),
                                                   ops::WeightFormat::bf16);
  const std::vector<lora::FactorMap> adapters_{random_adapter(model_.config(), 33),
                                               random_adapter(model_.config(), 3)};
  std::vector<std::vector<Batch>> tasks_;
};

TEST_F(OnDevice, GivesTheSameBitsInAnyOrderAndPassesOfAnySize) {
  D2C_SKIP_WITHOUT_DEVICE();
  for (const bool is_bf16 : {false, true}) {
    std::vector<std::vector<double>> expected;
    CounterRng rng(5, 1);
    for (const Index pass_rows : {32768, 128, 500, 1}) {
      const auto engine = device_engine(model_, pass_rows, is_bf16);
      std::vector<Wanted> wanted = all_units(*engine);
      std::vector<std::size_t> order(wanted.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      if (pass_rows != 32768) {
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
      }
      Source source(wanted, order);
      engine->losses(source);
      if (expected.empty()) expected = source.nll;
      EXPECT_EQ(source.nll, expected) << pass_rows << " rows";
    }
  }
}

TEST_F(OnDevice, GoesOnAfterASourceHasThrown) {
  D2C_SKIP_WITHOUT_DEVICE();
  class Throwing final : public Source {
   public:
    using Source::Source;
    [[nodiscard]] std::optional<Unit> take(Index least) override {
      if (++n_asked_ == 5) throw std::runtime_error("unit 5");
      return Source::take(least);
    }

   private:
    int n_asked_ = 0;
  };
  const auto engine = device_engine(model_, 128);
  const std::vector<std::size_t> order{0, 1, 2, 3, 4, 5, 6, 7, 8};
  Source expected(all_units(*engine), order);
  engine->losses(expected);
  Throwing throwing(all_units(*engine), order);
  EXPECT_THROW(engine->losses(throwing), std::runtime_error);
  Source again(all_units(*engine), order);
  engine->losses(again);
  EXPECT_EQ(again.nll, expected.nll);
}

TEST_F(OnDevice, ComputesInBf16AboutWhatTheCpuDoes) {
  D2C_SKIP_WITHOUT_DEVICE();
  const auto cpu = make_cpu_engine(model_, 1);
  const auto device = device_engine(model_, 32768, true);
  const auto expected = all_units(*cpu);
  const auto wanted = all_units(*device);
  for (std::size_t u = 0; u < wanted.size(); ++u) {
    const auto nll = [](LossEngine& engine, const Wanted& of) {
      return losses_of(engine, Unit{.adapter = of.adapter, .batches = of.batches}).nll;
    };
    const double error = largest_difference(nll(*device, wanted[u]), nll(*cpu, expected[u]));
    EXPECT_LE(error, 0.02) << u;  // of losses near 8.5; BF16 has 8 bits
    EXPECT_GT(error, 0.0) << u;
  }
}

TEST_F(OnDevice, LeavesToTheCpuWhatIsNoLoss) {
  D2C_SKIP_WITHOUT_DEVICE();
  const auto cpu = make_cpu_engine(model_, 1);
  const auto device = device_engine(model_);
  const auto taught = [&](LossEngine& engine) {
    std::vector<Unit> units;
    units.push_back(Unit{.adapter = engine.prepare(adapters_[0]), .batches = tasks_[1]});
    return engine.most_probable(units, 5).front().front();
  };
  EXPECT_EQ(taught(*device).probabilities, taught(*cpu).probabilities);
  const auto gradient = [&](LossEngine& engine) {
    std::vector<Lesson> lessons{{tasks_[1].front(), taught(*cpu), {}}};
    lessons[0].weight.assign(tasks_[1].front().targets.size(), 0.5F);
    const GradientUnit unit{engine.prepare(adapters_[0]), lessons};
    double loss = 0.0;
    engine.gradients({&unit, 1}, [&](Index, const GradientResult& result) { loss = result.loss; });
    return loss;
  };
  EXPECT_EQ(gradient(*device), gradient(*cpu));
}

#ifndef D2C_TEST_ON_GPU

TEST_F(OnDevice, DependsOnNoOrderOfLanesAndTasks) {
  std::vector<std::vector<double>> expected;
  for (const auto order : {HostBackend::Order::ascending, HostBackend::Order::descending}) {
    device::DeviceEngine engine(model_, 1,
                                std::make_unique<HostBackend>(std::size_t{1} << 30, order),
                                {"host", true, 32768});
    Source source(all_units(engine), {0, 1, 2, 3, 4, 5, 6, 7, 8});
    engine.losses(source);
    if (expected.empty()) expected = source.nll;
    EXPECT_EQ(source.nll, expected);
  }
}

TEST_F(OnDevice, KeepsWithinItsRoomAndGivesItBack) {
  const std::size_t weights = device::weight_bytes(model_.config(), false);
  const std::size_t budget = weights + (std::size_t{6} << 20);
  std::size_t least = budget;
  {
    auto backend = std::make_unique<HostBackend>(budget);
    HostBackend& room = *backend;
    device::DeviceEngine engine(model_, 1, std::move(backend), {"host", false, 32768});
    const std::vector<Wanted> wanted = all_units(engine);
    std::vector<std::size_t> order(wanted.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    Source source(wanted, order);
    engine.losses(source);
    least = room.room();
    EXPECT_GT(room.n_launches, 0);
    for (const auto& nll : source.nll) EXPECT_FALSE(nll.empty());
  }
  EXPECT_LT(least, budget - weights);
}

TEST(DeviceModel, RefusesSizesThatKernelsDoNotTake) {
  model::ModelConfig config = llama_config({1, 48, 102, 6, 2, 50});
  D2C_EXPECT_ERROR(device::check_model(config), UsageError, "rows of 102 values", "--device cpu");
  config = llama_config({1, 528, 64, 1, 1, 50});
  D2C_EXPECT_ERROR(device::check_model(config), UsageError, "heads of 528 values");
}

TEST(DeviceValues, RoundToBf16AsTheCpuDoes) {
  CounterRng rng(11, 3);
  for (int i = 0; i < 10000; ++i) {
    const auto bits = static_cast<std::uint32_t>(rng.below(std::uint64_t{1} << 32));
    float value = 0.0F;
    std::memcpy(&value, &bits, sizeof(value));
    if (std::isnan(value)) continue;
    EXPECT_EQ(device::rounded(value), bf16_from_float(value)) << value;
    EXPECT_EQ(device::widened(device::rounded(value)), float_from_bf16(bf16_from_float(value)));
  }
}

TEST(DeviceLanes, SumInAnOrderOfTheirOwn) {
  const device::HostLanes lanes;
  EXPECT_EQ(device::sum_of(lanes, 100, [](Index i) { return static_cast<float>(i); }), 4950.0F);
  EXPECT_EQ(device::largest_of(lanes, 3, [](Index i) { return -static_cast<float>(i); }), 0.0F);
}

#endif

}  // namespace
}  // namespace d2c::eval
