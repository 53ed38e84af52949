#include "d2c/model/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/model/cost.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/safetensors/reader.hpp"

#include "batches.hpp"
#include "test_support.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using json::Json;
using test::Ids;
using test::TestBatch;
using test::TinyModel;

ops::ThreadTeam alone;

/// Labels with the weights of a mean over examples of means over their tokens.
struct LabelledBatch {
  TokenForest forest;
  std::vector<Index> rows;
  ops::SoftTargets targets;
  std::vector<float> weight;

  void add(Index row, std::int32_t label, double of_token) {
    rows.push_back(row);
    targets.tokens.push_back(label);
    targets.probabilities.push_back(1.0F);
    targets.begin.push_back(static_cast<std::int64_t>(targets.tokens.size()));
    weight.push_back(static_cast<float>(of_token));
  }

  void add_sequence(const Ids& ids, Index first_label, double of_sequence) {
    TestBatch one{std::move(forest), {}};
    test::add_sequence(one, ids, first_label);
    forest = std::move(one.forest);
    const auto n = static_cast<double>(one.targets.size());
    for (const Target& target : one.targets) add(target.row, target.label, of_sequence / n);
  }

  [[nodiscard]] double loss(const std::vector<double>& nll) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < nll.size(); ++i) sum += static_cast<double>(weight[i]) * nll[i];
    return sum;
  }
};

struct Outcome {
  double loss = 0.0;
  lora::FactorMap gradient;
};

Outcome differentiate(const Model& model, const LabelledBatch& batch,
                      const lora::FactorMap& adapter, ops::ThreadTeam& threads = alone) {
  const PreparedAdapter prepared(threads, model.config(), adapter);
  AdapterGradient sum(prepared);
  GradientPass pass(model);
  const std::vector<double> nll =
      pass(threads, batch.forest, batch.rows, batch.targets, batch.weight, prepared, sum);
  return {batch.loss(nll), sum.by_module(model.config(), prepared)};
}

std::vector<double> read_f64(const safetensors::Reader& reader, const std::string& name) {
  const auto bytes = reader.bytes(name);
  std::vector<double> values(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// Largest error over the largest absolute reference.
double relative_error(const Matrix& values, const std::vector<double>& reference) {
  EXPECT_EQ(static_cast<std::size_t>(values.size()), reference.size());
  double error = 0.0;
  double scale = 0.0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(values.values()[i]) - reference[i]));
    scale = std::max(scale, std::abs(reference[i]));
  }
  return error / scale;
}

class GoldenGradient : public testing::TestWithParam<std::string> {};

TEST_P(GoldenGradient, IsThatOfTransformersAndPeftInFloat64) {
  const auto folder = test::golden(GetParam());
  const Json golden = json::read_file(folder / "golden.json");
  const Model model(folder / "model");
  const safetensors::Reader reader(folder / "gradients.safetensors");
  LabelledBatch batch;
  const auto n_examples = static_cast<double>(golden.at("examples").size());
  for (const Json& example : golden.at("examples")) {
    batch.add_sequence(example.at("ids").get<Ids>(), example.at("prompt_len").get<Index>(),
                       1.0 / n_examples);
  }
  for (const std::string name : {"all-r4-a", "qv-r4"}) {
    const auto adapter = lora::read_adapter(folder / "adapters" / name, model.target_modules());
    const Outcome outcome = differentiate(model, batch, adapter.modules);
    ASSERT_EQ(outcome.gradient.size(), adapter.modules.size());
    double worst = 0.0;
    for (const auto& [module, d] : outcome.gradient) {
      for (const auto& [letter, values] : {std::pair("A", &d.a), std::pair("B", &d.b)}) {
        const std::string tensor = name + "." + module + "." + letter;
        const double error = relative_error(*values, read_f64(reader, tensor));
        EXPECT_LE(error, 1e-4) << tensor;
        worst = std::max(worst, error);
      }
    }
    std::cout << name << ": largest relative error " << worst << '\n';
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGradient,
                         testing::Values("gemma2", "gemma3", "granite", "llama-v5-config", "olmo2",
                                         "phi3", "qwen3", "smollm3"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

Ids random_ids(Index n, std::uint64_t stream) {
  CounterRng rng(7, stream);
  Ids ids;
  for (Index i = 0; i < n; ++i) ids.push_back(static_cast<std::int32_t>(rng.below(40)));
  return ids;
}

/// Mean loss of the twin, in float64.
double twin_loss(const TinyModel& model, const std::vector<Ids>& sequences,
                 const lora::FactorMap& adapter) {
  double sum = 0.0;
  for (const Ids& ids : sequences) {
    const std::vector<double> nll = test::reference_nll(model, ids, adapter);
    double mean = 0.0;
    for (const double loss : nll) mean += loss / static_cast<double>(nll.size());
    sum += mean / static_cast<double>(sequences.size());
  }
  return sum;
}

double twin_slope(const TinyModel& model, const std::vector<Ids>& sequences,
                  lora::FactorMap& adapter, float& value) {
  constexpr float step = 1e-3F;
  const float kept = value;
  const float above_at = kept + step;
  const float below_at = kept - step;
  value = above_at;
  const double above = twin_loss(model, sequences, adapter);
  value = below_at;
  const double below = twin_loss(model, sequences, adapter);
  value = kept;
  return (above - below) / (static_cast<double>(above_at) - static_cast<double>(below_at));
}

struct Feature {
  std::string name;
  Json config;
};
std::ostream& operator<<(std::ostream& out, const Feature& feature) { return out << feature.name; }

class GradientFeature : public testing::TestWithParam<Feature> {};

TEST_P(GradientFeature, IsTheSlopeOfTheScalarTwin) {
  const TinyModel files = test::tiny_model(GetParam().config);
  const Model model = load(files);
  lora::FactorMap adapter = test::tiny_adapter(files, 2);
  const std::vector<Ids> sequences{random_ids(13, 1), random_ids(9, 2)};
  LabelledBatch batch;
  for (const Ids& ids : sequences) batch.add_sequence(ids, 1, 0.5);
  const Outcome outcome = differentiate(model, batch, adapter);
  EXPECT_NEAR(outcome.loss, twin_loss(files, sequences, adapter), 2e-5);
  double scale = 0.0;
  for (const auto& [module, d] : outcome.gradient) {
    for (const float value : d.a.values()) {
      scale = std::max(scale, std::abs(static_cast<double>(value)));
    }
  }
  ASSERT_EQ(outcome.gradient.size(), adapter.size());
  CounterRng rng(3, 0);
  for (const auto& [module, d] : outcome.gradient) {
    lora::Factors& factors = adapter.at(module);
    for (const auto& [values, derivative] : {std::pair(factors.a.values(), d.a.values()),
                                             std::pair(factors.b.values(), d.b.values())}) {
      const auto place = static_cast<std::size_t>(rng.below(values.size()));
      EXPECT_NEAR(static_cast<double>(derivative[place]),
                  twin_slope(files, sequences, adapter, values[place]), 2e-4 * scale + 2e-6)
          << module << " at " << place;
    }
  }
}

TEST_P(GradientFeature, WorkspaceStaysBelowTheStatedBoundAndNotFarBelow) {
  const TinyModel files = test::tiny_model(GetParam().config);
  const Model model = load(files);
  const PreparedAdapter prepared(alone, model.config(), test::tiny_adapter(files, 2));
  for (const auto& [sequences, length] : {std::pair<Index, Index>{1, 40}, {30, 20}}) {
    LabelledBatch batch;
    for (Index s = 0; s < sequences; ++s) {
      batch.add_sequence(random_ids(length, static_cast<std::uint64_t>(s)), length / 2, 1.0);
    }
    AdapterGradient sum(prepared);
    GradientPass pass(model);
    (void)pass(alone, batch.forest, batch.rows, batch.targets, batch.weight, prepared, sum);
    const std::size_t stated =
        gradient_bytes(model.config(), size_of(batch.forest, std::ssize(batch.rows)),
                       prepared.layers.front().qkv.rank(), 1) -
        ops::linear_scratch_bytes();
    EXPECT_LE(pass.workspace_bytes(), stated) << sequences << " x " << length;
    // Blocks of logits and of weights have sizes of their own, whatever the model's.
    const std::size_t blocks =
        3 * 264 * 1024 * sizeof(float) + 2 * ops::LinearBackward::workspace_bytes(1);
    EXPECT_GE(2 * pass.workspace_bytes() + blocks, stated) << sequences << " x " << length;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Features, GradientFeature,
    testing::Values(
        Feature{"llama", Json::object()},
        Feature{"llama_biases_tied",
                {{"attention_bias", true}, {"mlp_bias", true}, {"tie_word_embeddings", true}}},
        Feature{"llama_gelu", {{"hidden_act", "gelu"}}},
        Feature{"llama_gelu_tanh", {{"hidden_act", "gelu_pytorch_tanh"}}},
        Feature{"rope_yarn",
                {{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}, {"attention_factor", 0.8}}}}},
        Feature{"mistral_window", {{"model_type", "mistral"}, {"sliding_window", 4}}},
        Feature{"qwen3", {{"model_type", "qwen3"}}},
        Feature{"stablelm", {{"model_type", "stablelm"}, {"partial_rotary_factor", 0.5}}},
        Feature{"stablelm_parallel_residual",
                {{"model_type", "stablelm"}, {"use_parallel_residual", true}}},
        Feature{"stablelm_qk_layernorm", {{"model_type", "stablelm"}, {"qk_layernorm", true}}},
        Feature{"multipliers",
                {{"model_type", "granite"},
                 {"embedding_multiplier", 3.0},
                 {"attention_multiplier", 0.5},
                 {"residual_multiplier", 0.3},
                 {"logits_scaling", 4.0}}},
        Feature{"layers_without_rope", {{"model_type", "smollm3"}, {"no_rope_layer_interval", 2}}},
        Feature{"norms_after_and_joint_head_norm", {{"model_type", "olmo2"}}},
        Feature{"norms_after_and_head_norm",
                {{"model_type", "exaone4"}, {"sliding_window", 4}, {"sliding_window_pattern", 2}}},
        Feature{"fused_projections_and_longrope",
                {{"model_type", "phi3"},
                 {"original_max_position_embeddings", 48},
                 {"rope_scaling",
                  {{"type", "longrope"},
                   {"short_factor", {1.0, 1.2, 1.5, 1.7}},
                   {"long_factor", {2.0, 3.0, 4.0, 5.0}}}}}},
        Feature{"norms_that_add_one_and_caps",
                {{"model_type", "gemma2"},
                 {"sliding_window", 4},
                 {"attn_logit_softcapping", 1.5},
                 {"final_logit_softcapping", 2.0},
                 {"query_pre_attn_scalar", 5}}},
        Feature{"two_ropes",
                {{"model_type", "gemma3_text"},
                 {"sliding_window", 4},
                 {"sliding_window_pattern", 2},
                 {"rope_local_base_freq", 20.0}}},
        Feature{"head_norm_after_rope", {{"model_type", "hunyuan_v1_dense"}}},
        Feature{"query_growth",
                {{"model_type", "ministral3"},
                 {"rope_parameters",
                  {{"rope_type", "yarn"},
                   {"rope_theta", 90.0},
                   {"factor", 4.0},
                   {"beta_fast", 0.5},
                   {"beta_slow", 0.01},
                   {"original_max_position_embeddings", 4},
                   {"llama_4_scaling_beta", 0.4}}}}}),
    [](const auto& test) { return test.param.name; });

TEST(Gradient, OfASharedPrefixIsTheSumOverItsContinuations) {
  const TinyModel files = test::tiny_model(Json::object());
  const Model model = load(files);
  const lora::FactorMap adapter = test::tiny_adapter(files, 2);
  const Ids prefix = random_ids(8, 1);
  const std::vector<Ids> tails{random_ids(5, 2), random_ids(7, 3)};
  LabelledBatch shared;
  LabelledBatch apart;
  const Index root = test::add_segment(shared.forest, prefix);
  for (const Ids& tail : tails) {
    Ids whole = prefix;
    whole.insert(whole.end(), tail.begin(), tail.end());
    apart.add_sequence(whole, std::ssize(prefix) + 1, 0.5);
    const Index begin = std::ssize(shared.forest.ids);
    test::add_segment(shared.forest, Ids(tail.begin(), tail.end() - 1), root);
    const auto n = static_cast<double>(tail.size() - 1);
    for (std::size_t i = 1; i < tail.size(); ++i) {
      shared.add(begin + static_cast<Index>(i) - 1, tail[i], 0.5 / n);
    }
  }
  const Outcome a = differentiate(model, shared, adapter);
  const Outcome b = differentiate(model, apart, adapter);
  EXPECT_NEAR(a.loss, b.loss, 1e-6);
  for (const auto& [module, d] : a.gradient) {
    const Matrix& other = b.gradient.at(module).a;
    EXPECT_LE(relative_error(d.a, {other.values().begin(), other.values().end()}), 2e-5) << module;
  }
}

TEST(Gradient, HasTheSameBitsOnAnyNumberOfThreads) {
  const TinyModel files = test::tiny_model(Json::object());
  const Model model = load(files);
  const lora::FactorMap adapter = test::tiny_adapter(files, 3);
  LabelledBatch batch;
  for (std::uint64_t i = 0; i < 6; ++i) batch.add_sequence(random_ids(30, i), 1, 0.2);
  ops::ThreadTeam three(3);
  const Outcome a = differentiate(model, batch, adapter);
  const Outcome b = differentiate(model, batch, adapter, three);
  EXPECT_EQ(a.loss, b.loss);
  for (const auto& [module, d] : a.gradient) {
    EXPECT_EQ(d.a, b.gradient.at(module).a) << module;
    EXPECT_EQ(d.b, b.gradient.at(module).b) << module;
  }
}

}  // namespace
}  // namespace d2c::model
