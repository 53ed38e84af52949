#include "d2c/model/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "d2c/core/rng.hpp"
#include "d2c/model/cost.hpp"

#include "batches.hpp"
#include "panel/panel_kernel.hpp"
#include "test_support.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using json::Json;
using test::add_segment;
using test::add_sequence;
using test::Ids;
using test::TestBatch;
using test::TinyModel;

Ids random_ids(Index n, std::uint64_t seed) {
  CounterRng rng(3, seed);
  Ids ids;
  for (Index i = 0; i < n; ++i) ids.push_back(static_cast<std::int32_t>(rng.below(50)));
  return ids;
}

/// The same model with weights that BF16 holds.
TinyModel with_bf16_weights(TinyModel model) {
  for (auto& [name, tensor] : model.tensors) {
    for (float& value : tensor.values()) value = float_from_bf16(bf16_from_float(value));
  }
  return model;
}

double median_difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < a.size(); ++i) differences.push_back(std::abs(a.at(i) - b.at(i)));
  std::ranges::sort(differences);
  return differences.at(differences.size() / 2);
}

std::vector<ops::Arithmetic> arithmetics_of_this_processor() {
  std::vector<ops::Arithmetic> result{ops::Arithmetic::f32};
  if (ops::is_supported(ops::Arithmetic::bf16)) result.push_back(ops::Arithmetic::bf16);
  return result;
}

std::vector<double> nll_of(Decoder& decoder, const Ids& ids,
                           const PreparedAdapter* adapter = nullptr) {
  TestBatch batch;
  add_sequence(batch, ids);
  return decoder.nll(test::one_thread, batch.forest, batch.targets, adapter);
}

// Losses near 4 after two layers of sums of 20 to 28 terms: float32 leaves about 1e-6; the
// tolerance has room for unlucky cancellation, and is far below the effect of any feature.
constexpr double tolerance = 2e-5;

struct Feature {
  std::string name;
  Json config;
  std::vector<std::string> nulls = {};  ///< keys that are there and null
};

std::ostream& operator<<(std::ostream& out, const Feature& feature) { return out << feature.name; }

Json with(const std::string& type, Json config) {
  config["model_type"] = type;
  return config;
}

std::vector<Feature> llama_features() {
  const auto llama_rope = [](const Json& scaling) { return Json{{"rope_scaling", scaling}}; };
  return {
      {"llama", Json::object()},
      {"llama_multi_head", {{"num_key_value_heads", 4}}},
      {"llama_tied", {{"tie_word_embeddings", true}}},
      {"llama_biases", {{"attention_bias", true}, {"mlp_bias", true}}},
      {"llama_head_dim_from_hidden", {{"head_dim", nullptr}, {"hidden_size", 24}}},
      {"llama_gelu", {{"hidden_act", "gelu"}}},
      {"llama_gelu_tanh", {{"hidden_act", "gelu_pytorch_tanh"}}},
      {"llama_relu", {{"hidden_act", "relu"}}},
      {"rope_linear", llama_rope({{"type", "linear"}, {"factor", 4.0}})},
      {"rope_dynamic", llama_rope({{"type", "dynamic"}, {"factor", 4.0}})},
      {"rope_llama3", llama_rope({{"rope_type", "llama3"},
                                  {"factor", 8.0},
                                  {"low_freq_factor", 1.0},
                                  {"high_freq_factor", 4.0},
                                  {"original_max_position_embeddings", 32}})},
      {"rope_yarn", llama_rope({{"rope_type", "yarn"},
                                {"factor", 4.0},
                                {"beta_fast", 4},
                                {"original_max_position_embeddings", 32}})},
      {"rope_yarn_mscale", llama_rope({{"rope_type", "yarn"},
                                       {"factor", 4.0},
                                       {"beta_fast", 4},
                                       {"mscale", 0.7},
                                       {"mscale_all_dim", 0.5},
                                       {"truncate", false}})},
      {"rope_yarn_attention_factor",
       llama_rope({{"rope_type", "yarn"}, {"factor", 4.0}, {"attention_factor", 0.8}})},
      {"rope_parameters",
       {{"rope_theta", nullptr},
        {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 50.0}}}}},
  };
}

std::vector<Feature> features_of_similar_families() {
  return {
      {"mistral_window", with("mistral", {{"sliding_window", 7}})},
      {"mistral_no_window", with("mistral", Json::object()), {"sliding_window"}},
      {"ministral3", with("ministral3", {{"rope_parameters",
                                          {{"rope_type", "yarn"},
                                           {"rope_theta", 90.0},
                                           {"factor", 4.0},
                                           {"beta_fast", 4.0},
                                           {"mscale", 1.0},
                                           {"mscale_all_dim", 1.0},
                                           {"original_max_position_embeddings", 16},
                                           {"max_position_embeddings", 64},
                                           {"llama_4_scaling_beta", 0.4}}}})},
      {"qwen2", with("qwen2", {{"use_sliding_window", false}, {"sliding_window", 5}})},
      {"qwen2_window",
       with("qwen2",
            {{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}})},
      {"qwen2_layer_types",
       with("qwen2", {{"use_sliding_window", true},
                      {"sliding_window", 5},
                      {"layer_types", {"sliding_attention", "full_attention"}}})},
      {"qwen3", with("qwen3", Json::object())},
      {"qwen3_bias_tied", with("qwen3", {{"attention_bias", true}, {"tie_word_embeddings", true}})},
      {"stablelm", with("stablelm", {{"partial_rotary_factor", 0.25}})},
      {"stablelm_bias_half_rotary",
       with("stablelm", {{"use_qkv_bias", true}, {"partial_rotary_factor", 0.5}})},
      {"stablelm_parallel_residual", with("stablelm", {{"use_parallel_residual", true}})},
      {"stablelm_qk_layernorm", with("stablelm", {{"qk_layernorm", true}})},
      {"stablelm_rope_parameters",
       with("stablelm",
            {{"rope_theta", nullptr},
             {"rope_parameters",
              {{"rope_type", "default"}, {"rope_theta", 70.0}, {"partial_rotary_factor", 0.75}}}})},
      {"smollm3", with("smollm3", {{"no_rope_layer_interval", 2}})},
      {"smollm3_list_window", with("smollm3", {{"no_rope_layers", {0, 1}},
                                               {"use_sliding_window", true},
                                               {"sliding_window", 6},
                                               {"attention_bias", true},
                                               {"mlp_bias", true}})},
  };
}

Json with_multipliers(const std::string& type, Json config) {
  config["embedding_multiplier"] = 3.0;
  config["attention_multiplier"] = 0.5;
  config["residual_multiplier"] = 0.3;
  config["logits_scaling"] = 4.0;
  return with(type, std::move(config));
}

std::vector<Feature> features_of_other_families() {
  const Json yarn = {{"rope_type", "yarn"},
                     {"factor", 4.0},
                     {"beta_fast", 4.0},
                     {"original_max_position_embeddings", 32}};
  const Json dense = {{"num_local_experts", 0},
                      {"layer_types", {"attention", "attention"}},
                      {"shared_intermediate_size", 24}};
  Json dense_rope = dense;
  dense_rope["position_embedding_type"] = "rope";
  return {
      {"granite", with_multipliers("granite", {{"attention_bias", true}, {"mlp_bias", true}})},
      {"granite_defaults", with("granite", {{"head_dim", 4}})},
      {"granite_hybrid", with_multipliers("granitemoehybrid", dense_rope)},
      {"granite_hybrid_no_rope", with_multipliers("granitemoehybrid", dense)},
      {"olmo2", with("olmo2", Json::object())},
      {"olmo2_bias_tied", with("olmo2", {{"attention_bias", true}, {"tie_word_embeddings", true}})},
      {"olmo3", with("olmo3", {{"sliding_window", 6},
                               {"layer_types", {"sliding_attention", "full_attention"}},
                               {"rope_scaling", yarn}})},
      {"olmo3_rope_parameters",
       with("olmo3",
            {{"sliding_window", 6},
             {"layer_types", {"full_attention", "sliding_attention"}},
             {"rope_parameters",
              {{"full_attention", yarn},
               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 30.0}}}}}})},
      {"exaone4", with("exaone4", {{"sliding_window", 6}, {"sliding_window_pattern", 2}})},
      {"exaone4_no_window", with("exaone4", Json::object()), {"sliding_window"}},
      {"phi3", with("phi3", Json::object())},
      {"phi3_longrope", with("phi3", {{"partial_rotary_factor", 0.75},
                                      {"tie_word_embeddings", true},
                                      {"sliding_window", 9},
                                      {"original_max_position_embeddings", 48},
                                      {"rope_scaling",
                                       {{"type", "su"},
                                        {"short_factor", {1.0, 1.2, 1.5}},
                                        {"long_factor", {2.0, 3.0, 4.0}}}}})},
      {"gemma2", with("gemma2", {{"sliding_window", 6}, {"query_pre_attn_scalar", 10}})},
      {"gemma2_small_caps",
       with("gemma2", {{"sliding_window", 6},
                       {"attn_logit_softcapping", 1.5},
                       {"final_logit_softcapping", 2.0},
                       {"query_pre_attn_scalar", 5},
                       {"layer_types", {"full_attention", "sliding_attention"}}})},
      {"gemma2_no_caps",
       with("gemma2", {{"attention_bias", true}}),
       {"sliding_window", "attn_logit_softcapping", "final_logit_softcapping"}},
      {"gemma3",
       with("gemma3_text", {{"sliding_window", 6},
                            {"sliding_window_pattern", 2},
                            {"rope_local_base_freq", 20.0},
                            {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}})},
      {"gemma3_rope_parameters",
       with("gemma3_text",
            {{"sliding_window", 6},
             {"hidden_activation", "silu"},
             {"final_logit_softcapping", 3.0},
             {"layer_types", {"full_attention", "sliding_attention"}},
             {"rope_parameters",
              {{"full_attention", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 90.0}}},
               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 30.0}}}}}})},
      {"hunyuan", with("hunyuan_v1_dense", {{"attention_bias", true}})},
      {"hunyuan_alpha",
       with("hunyuan_v1_dense",
            {{"rope_scaling", {{"type", "dynamic"}, {"alpha", 50.0}, {"factor", 1.0}}}})},
  };
}

std::vector<Feature> features() {
  std::vector<Feature> all = llama_features();
  for (const auto& more : {features_of_similar_families(), features_of_other_families()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

class DecoderFeature : public testing::TestWithParam<Feature> {
 protected:
  // json::merge_patch removes keys that are null.
  static TinyModel tiny() {
    TinyModel model = test::tiny_model(GetParam().config);
    for (const std::string& key : GetParam().nulls) model.config[key] = nullptr;
    return model;
  }
};

TEST_P(DecoderFeature, LossesAreThoseOfTheScalarTwin) {
  const TinyModel model_files = tiny();
  const Model model = load(model_files);
  Decoder decoder(model);
  const Ids ids = random_ids(40, 1);
  EXPECT_THAT(nll_of(decoder, ids), testing::Pointwise(testing::DoubleNear(tolerance),
                                                       test::reference_nll(model_files, ids)));
}

TEST_P(DecoderFeature, AnAdapterEqualsItsUpdateAddedToTheWeights) {
  const TinyModel model_files = tiny();
  const Model model = load(model_files);
  Decoder decoder(model);
  const Ids ids = random_ids(30, 2);
  const lora::FactorMap adapter = test::tiny_adapter(model_files, 3);
  const PreparedAdapter prepared(test::one_thread, model.config(), adapter);
  EXPECT_THAT(nll_of(decoder, ids, &prepared),
              testing::Pointwise(testing::DoubleNear(tolerance),
                                 test::reference_nll(model_files, ids, adapter)));
}

TEST_P(DecoderFeature, MeanLossesOfPackedTasksAreWithin1e5OfTheScalarTwin) {
  const TinyModel model_files = tiny();
  const lora::FactorMap adapter = test::tiny_adapter(model_files, 3);
  const Model model = load(model_files);
  const PreparedAdapter prepared(test::one_thread, model.config(), adapter);
  Decoder decoder(model);
  // Two tasks: the sequences of each share its instruction.
  TestBatch batch;
  std::vector<double> expected;
  for (const std::uint64_t task : {10U, 20U}) {
    const Ids instruction = random_ids(14, task);
    const Index root = add_segment(batch.forest, instruction);
    const Index last = batch.forest.segments[static_cast<std::size_t>(root)].end - 1;
    for (const std::uint64_t example : {1U, 2U, 3U}) {
      const Ids rest = random_ids(11, task + example);
      const Index segment = add_segment(batch.forest, rest, root);
      const Index begin = batch.forest.segments[static_cast<std::size_t>(segment)].begin;
      for (std::size_t i = 0; i < rest.size(); ++i) {
        batch.targets.push_back({i == 0 ? last : begin + static_cast<Index>(i) - 1, rest[i]});
      }
      Ids whole = instruction;
      whole.insert(whole.end(), rest.begin(), rest.end());
      const auto nll = test::reference_nll(model_files, whole, adapter);
      expected.push_back(std::accumulate(nll.end() - 11, nll.end(), 0.0) / 11.0);
    }
  }
  const auto nll = decoder.nll(test::one_thread, batch.forest, batch.targets, &prepared);
  for (std::size_t e = 0; e < expected.size(); ++e) {
    const auto first = nll.begin() + static_cast<std::ptrdiff_t>(11 * e);
    EXPECT_NEAR(std::accumulate(first, first + 11, 0.0) / 11.0 / expected[e], 1.0, 1e-5) << e;
  }
}

TEST_P(DecoderFeature, ABf16ModelGivesTheSameBitsFromBf16AndF32Memory) {
  const TinyModel model_files = tiny();
  const Model narrow = load(model_files, DType::bf16, ops::WeightFormat::bf16);
  const Model wide = load(model_files, DType::bf16, ops::WeightFormat::f32);
  EXPECT_EQ(narrow.weights().largest_rounding, 0.0);
  Decoder narrow_decoder(narrow);
  Decoder wide_decoder(wide);
  const Ids ids = random_ids(40, 1);
  const PreparedAdapter adapter(test::one_thread, narrow.config(),
                                test::tiny_adapter(model_files, 3));
  EXPECT_EQ(nll_of(narrow_decoder, ids), nll_of(wide_decoder, ids));
  EXPECT_EQ(nll_of(narrow_decoder, ids, &adapter), nll_of(wide_decoder, ids, &adapter));
}

TEST_P(DecoderFeature, Bf16ArithmeticIsThatOfTheTwinThatRoundsActivations) {
  if (!ops::is_supported(ops::Arithmetic::bf16)) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  const TinyModel model_files = with_bf16_weights(tiny());
  const Model model =
      load(model_files, DType::bf16, ops::WeightFormat::bf16, ops::Arithmetic::bf16);
  EXPECT_EQ(model.arithmetic(), ops::Arithmetic::bf16);
  Decoder decoder(model);
  const lora::FactorMap adapter = test::tiny_adapter(model_files, 3);
  const PreparedAdapter prepared(test::one_thread, model.config(), adapter);
  TinyModel twin = model_files;
  twin.bf16_arithmetic = true;
  // Where a value is so near a tie that float32 and float64 round it apart, a term of a sum changes
  // by 2^-8 of itself, and later tokens see it: rare enough that one of three sequences has none.
  double from_twin = 1.0;
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Ids ids = random_ids(40, seed);
    const auto nll = nll_of(decoder, ids, &prepared);
    from_twin =
        std::min(from_twin, median_difference(nll, test::reference_nll(twin, ids, adapter)));
    const auto exact = test::reference_nll(model_files, ids, adapter);
    EXPECT_GT(median_difference(nll, exact), 10.0 * tolerance);
  }
  EXPECT_LT(from_twin, tolerance);
}

TEST_P(DecoderFeature, AllInstructionSetsGiveTheSameBits) {
  const TinyModel model_files = tiny();
  for (const auto format : {ops::WeightFormat::f32, ops::WeightFormat::bf16}) {
    const Model model = load(model_files, DType::f32, format);
    const PreparedAdapter adapter(test::one_thread, model.config(),
                                  test::tiny_adapter(model_files, 3));
    Decoder decoder(model);
    const Ids ids = random_ids(40, 1);
    const auto best = nll_of(decoder, ids, &adapter);
    const auto before = ops::use_kernels(ops::baseline_kernels());
    const auto baseline = nll_of(decoder, ids, &adapter);
    ops::use_kernels(before);
    EXPECT_EQ(baseline, best);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderFeature, testing::ValuesIn(features()),
                         [](const auto& test) { return test.param.name; });

/// One model with a window, so that batches meet every path of attention.
class DecoderBatch : public testing::TestWithParam<ops::Arithmetic> {
 protected:
  const TinyModel tiny_ = test::tiny_model({{"model_type", "mistral"}, {"sliding_window", 21}});
  const Model model_ =
      GetParam() == ops::Arithmetic::f32
          ? load(tiny_)
          : load(tiny_, DType::bf16, ops::WeightFormat::bf16, ops::Arithmetic::bf16);
  const PreparedAdapter adapter_{test::one_thread, model_.config(), test::tiny_adapter(tiny_, 5)};
  Decoder decoder_{model_};
};

TEST_P(DecoderBatch, LossesOfASequenceAreBitIdenticalInAnyBatch) {
  TestBatch batch;
  std::vector<double> alone;
  for (const Index length : {9, 2, 64, 33, 17}) {
    const Ids ids = random_ids(length, static_cast<std::uint64_t>(length));
    add_sequence(batch, ids);
    const auto losses = nll_of(decoder_, ids, &adapter_);
    alone.insert(alone.end(), losses.begin(), losses.end());
  }
  EXPECT_EQ(decoder_.nll(test::one_thread, batch.forest, batch.targets, &adapter_), alone);
}

TEST_P(DecoderBatch, LossesOfSharedPrefixesAreBitIdenticalToThoseOfWholeSequences) {
  const Ids prefix = random_ids(19, 1);
  const Ids middle = random_ids(7, 2);
  const std::vector<Ids> endings{random_ids(12, 3), random_ids(1, 4), random_ids(30, 5)};

  TestBatch shared;
  const Index root = add_segment(shared.forest, prefix);
  const Index branch = add_segment(shared.forest, middle, root);
  std::vector<double> whole;
  for (std::size_t i = 0; i < endings.size(); ++i) {
    Ids ids = prefix;
    if (i != 1) ids.insert(ids.end(), middle.begin(), middle.end());
    const Index parent = i != 1 ? branch : root;
    const Index parent_last = shared.forest.segments[static_cast<std::size_t>(parent)].end - 1;
    const Index segment = add_segment(shared.forest, endings[i], parent);
    shared.targets.push_back({parent_last, endings[i].front()});
    const Index begin = shared.forest.segments[static_cast<std::size_t>(segment)].begin;
    for (std::size_t t = 1; t < endings[i].size(); ++t) {
      shared.targets.push_back({begin + static_cast<Index>(t) - 1, endings[i][t]});
    }
    const auto first_label = static_cast<std::ptrdiff_t>(ids.size()) - 1;
    ids.insert(ids.end(), endings[i].begin(), endings[i].end());
    const auto losses = nll_of(decoder_, ids, &adapter_);
    whole.insert(whole.end(), losses.begin() + first_label, losses.end());
  }
  EXPECT_EQ(decoder_.nll(test::one_thread, shared.forest, shared.targets, &adapter_), whole);
}

TEST_P(DecoderBatch, WorkspaceStaysBelowTheStatedBoundAndNotFarBelow) {
  struct Case {
    Index sequences, length, shared;
  };
  for (const auto& [sequences, length, shared] :
       {Case{1, 3, 0}, {1, 300, 0}, {40, 9, 0}, {60, 30, 25}, {200, 2, 0}, {5, 120, 100}}) {
    TestBatch batch;
    const Index root = shared > 0 ? add_segment(batch.forest, random_ids(shared, 1)) : -1;
    for (Index s = 0; s < sequences; ++s) {
      const Ids ids = random_ids(length - shared, static_cast<std::uint64_t>(s));
      const Index segment = add_segment(batch.forest, ids, root);
      const Index begin = batch.forest.segments[static_cast<std::size_t>(segment)].begin;
      for (Index row = begin; row < begin + std::ssize(ids); ++row)
        batch.targets.push_back({row, 1});
    }
    Decoder decoder(model_);
    (void)decoder.nll(test::one_thread, batch.forest, batch.targets, &adapter_);
    const std::size_t scratch = ops::linear_scratch_bytes();
    const std::size_t stated =
        activation_bytes(model_.config(), size_of(batch.forest, std::ssize(batch.targets)),
                         adapter_.layers.front().qkv.rank(), 1) -
        scratch;
    EXPECT_LE(decoder.workspace_bytes(), stated) << sequences << " x " << length;
    // One block of logits is stated at its full size: this vocabulary is smaller.
    const std::size_t logits = 264 * 1024 * sizeof(float);
    EXPECT_GE(3 * decoder.workspace_bytes() + logits, stated) << sequences << " x " << length;
  }
}

TEST_P(DecoderBatch, TargetsMayComeInAnyOrderAndShareARow) {
  const Ids ids = random_ids(20, 1);
  TestBatch batch;
  add_sequence(batch, ids);
  const auto in_order = decoder_.nll(test::one_thread, batch.forest, batch.targets);
  std::vector<Target> mixed{
      batch.targets[12], batch.targets[3], batch.targets[12], {batch.targets[3].row, 0}};
  const auto losses = decoder_.nll(test::one_thread, batch.forest, mixed);
  EXPECT_EQ(losses[0], in_order[12]);
  EXPECT_EQ(losses[1], in_order[3]);
  EXPECT_EQ(losses[2], in_order[12]);
  double probabilities = 0.0;
  for (std::int32_t label = 0; label < 50; ++label) {
    const std::vector<Target> one{{5, label}};
    probabilities += std::exp(-decoder_.nll(test::one_thread, batch.forest, one)[0]);
  }
  EXPECT_NEAR(probabilities, 1.0, 1e-5);
}

TEST_P(DecoderBatch, NothingIsLeftOverFromTheBatchBefore) {
  const Ids ids = random_ids(15, 1);
  const auto before = nll_of(decoder_, ids);
  (void)nll_of(decoder_, random_ids(60, 2), &adapter_);
  EXPECT_EQ(nll_of(decoder_, ids), before);
}

TEST_P(DecoderBatch, NoTargetsGiveNoLosses) {
  TestBatch batch;
  add_segment(batch.forest, random_ids(5, 1));
  EXPECT_TRUE(decoder_.nll(test::one_thread, batch.forest, {}).empty());
}

TEST_P(DecoderBatch, AnUpdateOfZeroChangesNothing) {
  lora::FactorMap adapter = test::tiny_adapter(tiny_, 4);
  for (auto& [module, factors] : adapter) std::ranges::fill(factors.b.values(), 0.0F);
  const PreparedAdapter prepared(test::one_thread, model_.config(), adapter);
  const Ids ids = random_ids(15, 1);
  EXPECT_EQ(nll_of(decoder_, ids, &prepared), nll_of(decoder_, ids));
}

TEST_P(DecoderBatch, AdapterOfSomeModulesLeavesTheOthersAlone) {
  lora::FactorMap adapter = test::tiny_adapter(tiny_, 4);
  std::erase_if(adapter, [](const auto& entry) {
    return !entry.first.ends_with("k_proj") && entry.first != "model.layers.1.mlp.up_proj";
  });
  const PreparedAdapter prepared(test::one_thread, model_.config(), adapter);
  const Ids ids = random_ids(25, 1);
  if (GetParam() == ops::Arithmetic::f32) {
    EXPECT_THAT(nll_of(decoder_, ids, &prepared),
                testing::Pointwise(testing::DoubleNear(tolerance),
                                   test::reference_nll(tiny_, ids, adapter)));
  } else {
    TinyModel twin = with_bf16_weights(tiny_);
    twin.bf16_arithmetic = true;
    EXPECT_LT(median_difference(nll_of(decoder_, ids, &prepared),
                                test::reference_nll(twin, ids, adapter)),
              2e-4);
  }
}

TEST_P(DecoderBatch, IdsOutsideTheVocabularyAreRefused) {
  TestBatch batch;
  add_sequence(batch, {1, 2, 50, 3});
  D2C_EXPECT_ERROR((void)decoder_.nll(test::one_thread, batch.forest, batch.targets), InputError,
                   "token 50", "vocabulary", "0 to 49");
  batch.forest.ids[2] = 0;
  D2C_EXPECT_ERROR((void)decoder_.nll(test::one_thread, batch.forest, batch.targets), InputError,
                   "token 50");
  batch.targets[1].label = -1;
  D2C_EXPECT_ERROR((void)decoder_.nll(test::one_thread, batch.forest, batch.targets), InputError,
                   "token -1");
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, DecoderBatch,
                         testing::ValuesIn(arithmetics_of_this_processor()), [](const auto& test) {
                           return test.param == ops::Arithmetic::bf16 ? "bf16" : "f32";
                         });

TEST(Decoder, DynamicScalingRefusesSequencesWhoseFrequenciesDependOnTheirLength) {
  const Model model =
      load(test::tiny_model({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}));
  Decoder decoder(model);
  EXPECT_EQ(nll_of(decoder, random_ids(65, 1)).size(), 64U);
  D2C_EXPECT_ERROR((void)nll_of(decoder, random_ids(66, 1)), InputError, "65 tokens", "dynamic",
                   "64");
}

TEST(Decoder, LongSequencesHaveFrequenciesOfTheirOwn) {
  const TinyModel files = test::tiny_model({{"model_type", "phi3"},
                                            {"original_max_position_embeddings", 16},
                                            {"rope_scaling",
                                             {{"type", "longrope"},
                                              {"short_factor", {1.0, 1.2, 1.5, 1.7}},
                                              {"long_factor", {2.0, 3.0, 4.0, 5.0}}}}});
  const Model model = load(files);
  EXPECT_EQ(model.config().short_until(), 16);
  Decoder decoder(model);
  for (const Index length : {16, 17, 40, 9}) {
    const Ids ids = random_ids(length, 1);
    TestBatch batch;
    add_sequence(batch, ids);
    batch.forest.is_long = length > 16;
    EXPECT_THAT(decoder.nll(test::one_thread, batch.forest, batch.targets),
                testing::Pointwise(testing::DoubleNear(tolerance), test::reference_nll(files, ids)))
        << length;
  }
}

TEST(Decoder, ReadsHalfPrecisionExactly) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    TinyModel tiny = test::tiny_model(Json::object());
    for (auto& [name, tensor] : tiny.tensors) {
      for (float& value : tensor.values()) {
        value = dtype == DType::bf16 ? float_from_bf16(bf16_from_float(value))
                                     : float_from_f16(f16_from_float(value));
      }
    }
    const Model model = load(tiny, dtype);
    Decoder decoder(model);
    const Model wide = load(tiny);
    Decoder wide_decoder(wide);
    const Ids ids = random_ids(12, 1);
    EXPECT_EQ(nll_of(decoder, ids), nll_of(wide_decoder, ids));
  }
}

}  // namespace
}  // namespace d2c::model
