#include "d2c/model/weights.hpp"

#include <cmath>
#include <limits>
#include <memory>

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/model/cost.hpp"
#include "d2c/model/decoder.hpp"
#include "d2c/model/model.hpp"

#include "panel/panel_kernel.hpp"
#include "test_support.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using json::Json;
using test::TinyModel;

std::vector<double> some_losses(const Model& model) {
  test::TestBatch batch;
  test::add_sequence(batch, {1, 7, 3, 9, 4});
  return Decoder(model).nll(test::one_thread, batch.forest, batch.targets);
}

void rename(TinyModel& model, const std::string& from, const std::string& to) {
  auto node = model.tensors.extract(from);
  node.key() = to;
  model.tensors.insert(std::move(node));
}

TEST(Weights, MissingTensorsAreNamedWithTheirShape) {
  TinyModel tiny = test::tiny_model(Json::object());
  tiny.tensors.erase("model.layers.1.mlp.up_proj.weight");
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.safetensors",
                   "model.layers.1.mlp.up_proj.weight", "missing", "[28, 20]");
}

TEST(Weights, WrongShapesAreNamedWithBothShapes) {
  TinyModel tiny = test::tiny_model(Json::object());
  tiny.tensors.at("model.layers.0.self_attn.k_proj.weight") = Matrix(32, 20);
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.layers.0.self_attn.k_proj.weight",
                   "[32, 20]", "[16, 20]");
  tiny = test::tiny_model(Json::object());
  tiny.config["vocab_size"] = 51;
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.embed_tokens.weight", "[50, 20]",
                   "[51, 20]");
}

TEST(Weights, SizesThatNoMemoryHoldsAreComparedWithTheShapesFirst) {
  for (const char* field : {"vocab_size", "intermediate_size"}) {
    TinyModel tiny = test::tiny_model(Json::object());
    tiny.config[field] = 2147483647;
    D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.safetensors", "2147483647");
  }
}

TEST(Weights, ValuesThatAreNotFiniteAreRefused) {
  for (const auto* name : {"model.layers.0.mlp.down_proj.weight", "model.norm.weight"}) {
    TinyModel tiny = test::tiny_model(Json::object());
    test::TempFolder folder;
    // A half-precision value too large for float16 cannot be written; a NaN in the file can.
    test::write_model(folder.path(), tiny);
    std::string file = json::read_text(folder / "model.safetensors");
    const Matrix& values = tiny.tensors.at(name);
    const std::string bytes(reinterpret_cast<const char*>(values.data()), 8);
    const std::size_t place = file.find(bytes);
    ASSERT_NE(place, std::string::npos);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    file.replace(place, 4, reinterpret_cast<const char*>(&nan), 4);
    test::write_file(folder / "model.safetensors", file);
    D2C_EXPECT_ERROR((void)Model(folder.path()), InputError, name, "nan");
  }
}

TEST(Weights, TensorsThatTheModelDoesNotHaveAreRefused) {
  TinyModel tiny = test::tiny_model(Json::object());
  tiny.tensors.emplace("model.layers.0.self_attn.q_proj.bias", Matrix(1, 32));
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.layers.0.self_attn.q_proj.bias",
                   "not part of a llama model", "[32]");
}

TEST(Weights, StoredRotaryFrequenciesAreHarmless) {
  TinyModel tiny = test::tiny_model(Json::object());
  const auto expected = some_losses(load(tiny));
  tiny.tensors.emplace("model.layers.0.self_attn.rotary_emb.inv_freq", Matrix(1, 4));
  EXPECT_EQ(some_losses(load(tiny)), expected);
}

TEST(Weights, TiedEmbeddingsMayHaveEitherNameOrBoth) {
  TinyModel tiny = test::tiny_model({{"tie_word_embeddings", true}});
  const auto expected = some_losses(load(tiny));
  TinyModel both = tiny;
  both.tensors.emplace("lm_head.weight", tiny.tensors.at("model.embed_tokens.weight"));
  EXPECT_EQ(some_losses(load(both)), expected);
  rename(tiny, "model.embed_tokens.weight", "lm_head.weight");
  EXPECT_EQ(some_losses(load(tiny)), expected);

  both.tensors.at("lm_head.weight")(0, 0) += 1.0F;
  D2C_EXPECT_ERROR((void)load(both), InputError, "lm_head.weight",
                   "differs from model.embed_tokens.weight", "tie_word_embeddings");
  tiny.tensors.erase("lm_head.weight");
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "model.embed_tokens.weight", "missing");
}

TEST(Weights, TiedCopiesMayDifferInTheirType) {
  TinyModel tiny = test::tiny_model({{"tie_word_embeddings", true}});
  Matrix& embedding = tiny.tensors.at("model.embed_tokens.weight");
  for (float& value : embedding.values()) value = float_from_bf16(bf16_from_float(value));
  const auto expected = some_losses(load(tiny));
  tiny.tensors.emplace("lm_head.weight", embedding);
  tiny.stored_as = {{"lm_head.weight", DType::bf16}};
  EXPECT_EQ(some_losses(load(tiny)), expected);
  tiny.tensors.at("lm_head.weight")(3, 1) *= 2.0F;
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "lm_head.weight", "differs");
}

TEST(Weights, TheWrapperThatLengthenedTheNamesIsNamed) {
  for (const auto& [prefix, wrapper] :
       {std::pair{"_orig_mod.", "torch.compile"}, std::pair{"module.", "DistributedDataParallel"},
        std::pair{"language_model.", "vision-language"}}) {
    TinyModel tiny = test::tiny_model(Json::object());
    rename(tiny, "model.norm.weight", std::string(prefix) + "model.norm.weight");
    D2C_EXPECT_ERROR((void)load(tiny), InputError, prefix, wrapper,
                     "the model's tensor is called model.norm.weight");
  }
}

TEST(Weights, AnUntiedModelNeedsItsProjection) {
  TinyModel tiny = test::tiny_model(Json::object());
  tiny.tensors.erase("lm_head.weight");
  D2C_EXPECT_ERROR((void)load(tiny), InputError, "lm_head.weight", "missing");
}

/// Memory that a first process has filled.
class FilledStorage final : public WeightStorage {
 public:
  explicit FilledStorage(std::span<std::byte> memory) : memory_(memory) {}
  std::span<std::byte> allocate(std::size_t bytes) override {
    EXPECT_EQ(bytes, memory_.size());
    return memory_;
  }
  [[nodiscard]] bool should_fill() const override { return false; }

 private:
  std::span<std::byte> memory_;
};

/// Remembers the memory it gave.
class RememberingStorage final : public WeightStorage {
 public:
  std::span<std::byte> allocate(std::size_t bytes) override {
    return memory = heap_.allocate(bytes);
  }
  [[nodiscard]] bool should_fill() const override { return true; }
  std::span<std::byte> memory;

 private:
  HeapStorage heap_;
};

TEST(Weights, AProcessThatDoesNotFillSeesWhatAnotherHasFilled) {
  const test::TempFolder folder;
  test::write_model(folder.path(), test::tiny_model(Json::object()));
  const auto first = std::make_shared<RememberingStorage>();
  const Model filled(folder.path(), ops::WeightFormat::f32, first);
  const Model viewing(folder.path(), ops::WeightFormat::f32,
                      std::make_shared<FilledStorage>(first->memory));
  EXPECT_EQ(some_losses(viewing), some_losses(filled));
  EXPECT_EQ(first->memory.size(), weight_bytes(filled.config(), ops::WeightFormat::f32));
}

TEST(WeightFormat, AutomaticIsBf16OnlyWhereNothingIsLost) {
  const TinyModel tiny = test::tiny_model(Json::object());
  const test::TempFolder folder;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    test::write_model(folder.path(), tiny, dtype);
    EXPECT_EQ(weight_format(folder.path(), {WeightChoice::automatic}),
              dtype == DType::bf16 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32);
    EXPECT_EQ(weight_format(folder.path(), {WeightChoice::f32}), ops::WeightFormat::f32);
    EXPECT_EQ(weight_format(folder.path(), {WeightChoice::bf16}), ops::WeightFormat::bf16);
  }
}

TEST(WeightFormat, Bf16ArithmeticRoundsWeightsOnlyWhereTheUserAsks) {
  const TinyModel tiny = test::tiny_model(Json::object());
  const test::TempFolder folder;
  const auto choose = [&](WeightChoice weights) {
    return weight_format(folder.path(), {weights, ops::Arithmetic::bf16});
  };
  test::write_model(folder.path(), tiny, DType::f16);
  D2C_EXPECT_ERROR((void)choose(WeightChoice::automatic), UsageError, "are not BF16",
                   "--weights bf16", "--compute f32");
  EXPECT_EQ(choose(WeightChoice::bf16), ops::WeightFormat::bf16);
  test::write_model(folder.path(), tiny, DType::bf16);
  EXPECT_EQ(choose(WeightChoice::automatic), ops::WeightFormat::bf16);
  D2C_EXPECT_ERROR((void)choose(WeightChoice::f32), UsageError, "--compute bf16", "--weights f32");
}

TEST(WeightFormat, Bf16ArithmeticIsRefusedOnProcessorsWithoutIt) {
  const auto in_use = ops::use_kernels(ops::baseline_kernels());
  EXPECT_NO_THROW(check_processor(ops::Arithmetic::f32));
  D2C_EXPECT_ERROR(check_processor(ops::Arithmetic::bf16), UsageError, "AVX512_BF16",
                   "--compute f32");
  ops::use_kernels(in_use);
}

TEST(WeightFormat, Bf16TakesHalfTheBytesOfTheMatrices) {
  ModelConfig config = load(test::tiny_model(Json::object())).config();
  config.vocab_size = 100'000;  // what is not a matrix hardly counts
  const auto wide = static_cast<double>(weight_bytes(config, ops::WeightFormat::f32));
  const auto narrow = static_cast<double>(weight_bytes(config, ops::WeightFormat::bf16));
  EXPECT_NEAR(narrow / wide, 0.5, 1e-3);
}

TEST(WeightFormat, RoundingToBf16IsMeasured) {
  TinyModel tiny = test::tiny_model(Json::object());
  Matrix& some = tiny.tensors.at("model.layers.0.mlp.down_proj.weight");
  for (auto& [name, tensor] : tiny.tensors) {
    for (float& value : tensor.values()) value = float_from_bf16(bf16_from_float(value));
  }
  some(0, 0) = 1.0F + 1.0F / 512.0F;  // rounds to 1
  const test::TempFolder folder;
  test::write_model(folder.path(), tiny);
  const Model model(folder.path(), ops::WeightFormat::bf16);
  EXPECT_EQ(model.format(), ops::WeightFormat::bf16);
  EXPECT_FLOAT_EQ(static_cast<float>(model.weights().largest_rounding), 1.0F / 513.0F);
  EXPECT_EQ(Model(folder.path()).weights().largest_rounding, 0.0);

  some(0, 0) = std::numeric_limits<float>::max();
  test::write_model(folder.path(), tiny);
  D2C_EXPECT_ERROR((void)Model(folder.path(), ops::WeightFormat::bf16), InputError,
                   "model.layers.0.mlp.down_proj.weight", "too large for BF16", "--weights f32");
}

TEST(Weights, TheScaleOfAnEmbeddingHasTheTypeOfTheStoredEmbedding) {
  // sqrt(24) = 4.898979; BF16 has 4.90625 next to it.
  const TinyModel tiny = test::tiny_model({{"model_type", "gemma2"}, {"hidden_size", 24}});
  const auto scale_in = [&](DType dtype) {
    const test::TempFolder folder;
    test::write_model(folder.path(), tiny, dtype);
    const Model model(folder.path());
    return model.weights().embedding_scale.front();
  };
  EXPECT_EQ(scale_in(DType::f32), std::sqrt(24.0F));
  EXPECT_EQ(scale_in(DType::bf16), 4.90625F);
  EXPECT_EQ(scale_in(DType::f16), float_from_f16(f16_from_float(std::sqrt(24.0F))));
}

TEST(Weights, TheLanguageModelOfAVisionLanguageModelIsReadByItself) {
  const TinyModel alone = test::tiny_model(
      {{"model_type", "gemma3_text"}, {"sliding_window", 3}, {"sliding_window_pattern", 2}});
  const std::vector<double> expected = some_losses(load(alone));
  for (const std::string prefix : {"model.language_model.", "language_model.model."}) {
    TinyModel whole = alone;
    whole.config = {{"model_type", "gemma3"},
                    {"architectures", {"Gemma3ForConditionalGeneration"}},
                    {"text_config", alone.config},
                    {"vision_config", {{"hidden_size", 4}}},
                    {"mm_tokens_per_image", 256}};
    for (const auto& [name, tensor] : alone.tensors) {
      rename(whole, name, prefix + name.substr(std::string("model.").size()));
    }
    whole.tensors.emplace(
        prefix.starts_with("model") ? "model.vision_tower.x.weight" : "vision_tower.x.weight",
        Matrix(2, 2));
    const Model model = load(whole);
    EXPECT_EQ(some_losses(model), expected) << prefix;
    EXPECT_EQ(model.target_modules().at(1).name, "model.language_model.layers.0.self_attn.q_proj");
  }
}

TEST(TargetModules, FusedLayersAreOneModule) {
  const Model model = load(test::tiny_model({{"model_type", "phi3"}}));
  std::vector<std::string> names;
  for (const lora::TargetModule& module : model.target_modules()) names.push_back(module.name);
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {"model.layers.0.self_attn.qkv_proj", "model.layers.1.mlp.gate_up_proj"}));
  EXPECT_EQ(names.size(), 2U * 4U + 2U);
}

TEST(TargetModules, AreTheLinearLayersTheEmbeddingAndTheProjection) {
  const Model model = load(test::tiny_model(Json::object()));
  const auto modules = model.target_modules();
  EXPECT_EQ(modules.size(), 2U * 7U + 2U);
  const auto shape = [&](const std::string& name) {
    const auto found = std::ranges::find(modules, name, &lora::TargetModule::name);
    return found == modules.end() ? std::pair<Index, Index>{}
                                  : std::pair{found->d_out, found->d_in};
  };
  EXPECT_EQ(shape("model.layers.1.self_attn.k_proj"), (std::pair<Index, Index>{16, 20}));
  EXPECT_EQ(shape("model.layers.0.self_attn.o_proj"), (std::pair<Index, Index>{20, 32}));
  EXPECT_EQ(shape("model.layers.0.mlp.down_proj"), (std::pair<Index, Index>{20, 28}));
  EXPECT_EQ(shape("model.embed_tokens"), (std::pair<Index, Index>{20, 50}));
  EXPECT_EQ(shape("lm_head"), (std::pair<Index, Index>{50, 20}));
}

TEST(PreparedAdapter, ModulesThatTheModelDoesNotHaveAreRefused) {
  const TinyModel tiny = test::tiny_model(Json::object());
  const Model model = load(tiny);
  lora::FactorMap adapter = test::tiny_adapter(tiny, 2);
  auto node = adapter.extract("model.layers.1.mlp.up_proj");
  node.key() = "model.layers.2.mlp.up_proj";
  adapter.insert(std::move(node));
  D2C_EXPECT_ERROR((void)PreparedAdapter(test::one_thread, model.config(), adapter), InputError,
                   "model.layers.2.mlp.up_proj", "does not have");
}

TEST(PreparedAdapter, ShapesMustFitTheModel) {
  const TinyModel tiny = test::tiny_model(Json::object());
  const Model model = load(tiny);
  lora::FactorMap adapter = test::tiny_adapter(tiny, 2);
  adapter.at("model.layers.1.mlp.up_proj").b = Matrix(20, 2);
  D2C_EXPECT_ERROR((void)PreparedAdapter(test::one_thread, model.config(), adapter), InputError,
                   "model.layers.1.mlp.up_proj", "A [2, 20] and B [20, 2]", "[28, 20]");
}

TEST(Cost, CountsTheWeightsOfTheLinearLayers) {
  const Model model = load(test::tiny_model(Json::object()));
  const double per_layer = 20 * (32 + 16 + 16) + 32 * 20 + 3 * 20 * 28;
  EXPECT_EQ(parameters_per_token(model.config()), 2 * per_layer);
  EXPECT_EQ(parameters_per_target(model.config()), 50 * 20);
}

TEST(Cost, GrowsWithEveryDimensionOfTheBatch) {
  const Model model = load(test::tiny_model(Json::object()));
  const BatchSize small{100, 10, 20, 30};
  for (const BatchSize& large :
       {BatchSize{200, 10, 20, 30}, {100, 10, 40, 30}, {100, 10, 20, 60}}) {
    EXPECT_GT(activation_bytes(model.config(), large, 8, 1),
              activation_bytes(model.config(), small, 8, 1));
    EXPECT_GT(flops(model.config(), large), flops(model.config(), small));
  }
}

}  // namespace
}  // namespace d2c::model
