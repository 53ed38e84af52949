#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/safetensors/reader.hpp"

#include "adapter_fixture.hpp"

namespace d2c::lora {
namespace {

using ::testing::ElementsAre;

std::string layer(int index, const std::string& module) {
  return "model.layers." + std::to_string(index) + "." + module;
}

/// Two layers with q_proj and up_proj each.
FactorMap example(Index rank_q = 2, Index rank_up = 2) {
  FactorMap modules;
  for (int i = 0; i < 2; ++i) {
    modules[layer(i, "self_attn.q_proj")] = random_factors(6, 4, rank_q, 10U + unsigned(i));
    modules[layer(i, "mlp.up_proj")] = random_factors(8, 4, rank_up, 20U + unsigned(i));
  }
  return modules;
}

std::vector<TargetModule> base_of(const FactorMap& modules) {
  std::vector<TargetModule> base;
  for (const auto& [name, f] : modules) base.push_back({name, f.d_out(), f.d_in()});
  return base;
}

void expect_equal(const FactorMap& read, const FactorMap& written) {
  ASSERT_EQ(read.size(), written.size());
  for (const auto& [name, factors] : written) {
    SCOPED_TRACE(name);
    EXPECT_EQ(read.at(name).a, factors.a);
    EXPECT_EQ(read.at(name).b, factors.b);
    EXPECT_EQ(read.at(name).scaling, factors.scaling);
  }
}

/// B holds the scaling, rounded once.
void expect_padded(const Factors& read, const Factors& written, Index rank) {
  ASSERT_EQ(read.rank(), rank);
  EXPECT_EQ(read.scaling, 1.0);
  for (Index r = 0; r < rank; ++r) {
    const bool was_there = r < written.rank();
    for (Index j = 0; j < written.d_in(); ++j) {
      EXPECT_EQ(read.a(r, j), was_there ? written.a(r, j) : 0.0F);
    }
    for (Index i = 0; i < written.d_out(); ++i) {
      const double exact = was_there ? written.scaling * written.b(i, r) : 0.0;
      EXPECT_NEAR(read.b(i, r), exact, std::abs(exact) * 0x1p-24) << i << " " << r;
    }
  }
}

class WriteAdapter : public ::testing::Test {
 protected:
  [[nodiscard]] json::Json config() const {
    return json::read_file(folder_ / "a/adapter_config.json");
  }
  test::TempFolder folder_;
};

TEST_F(WriteAdapter, F32ComesBackBitForBit) {
  const FactorMap modules = example();
  write_adapter(folder_ / "a", modules, {});
  const Adapter first = read_adapter(folder_ / "a", base_of(modules));
  expect_equal(first.modules, modules);
  write_adapter(folder_ / "b", first.modules, {});
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
    EXPECT_EQ(json::read_text(folder_ / "a" / file), json::read_text(folder_ / "b" / file));
  }
}

TEST_F(WriteAdapter, ScalingIsFoldedIntoB) {
  FactorMap modules = example();
  Factors& scaled = modules.begin()->second;
  scaled.scaling = 1.7;
  write_adapter(folder_ / "a", modules, {});
  expect_padded(read_adapter(folder_ / "a").modules.begin()->second, scaled, scaled.rank());
}

TEST_F(WriteAdapter, ModulesOfLowerRankArePaddedWithZeros) {
  FactorMap modules = example(2, 3);
  modules[layer(0, "mlp.down_proj")] = random_factors(4, 8, 2, 40, 0.5);
  modules[layer(1, "mlp.down_proj")] = random_factors(4, 8, 5, 41, 2.0);
  write_adapter(folder_ / "a", modules, {});
  EXPECT_EQ(config()["r"], 5);
  EXPECT_EQ(config()["lora_alpha"], 5);
  EXPECT_EQ(config()["rank_pattern"], json::Json::object());
  EXPECT_EQ(config()["alpha_pattern"], json::Json::object());
  const Adapter read = read_adapter(folder_ / "a", base_of(modules));
  ASSERT_EQ(read.modules.size(), modules.size());
  for (const auto& [name, factors] : modules) {
    SCOPED_TRACE(name);
    expect_padded(read.modules.at(name), factors, 5);
  }
}

TEST_F(WriteAdapter, TargetsAreShortNamesWhereTheyMeanNoOtherModule) {
  FactorMap modules = example();
  std::vector<TargetModule> base = base_of(modules);
  base.push_back({"lm_head", 9, 4});
  modules.erase(layer(1, "mlp.up_proj"));
  WriteOptions options;
  options.short_names = short_names(modules, base);
  write_adapter(folder_ / "a", modules, options);
  EXPECT_THAT(config()["target_modules"], ElementsAre(layer(0, "mlp.up_proj"), "q_proj"));
  expect_equal(read_adapter(folder_ / "a", base).modules, modules);
}

TEST(ShortNames, AreReadFromAConfigurationThatHoldsForAllLayers) {
  const auto names = [](const std::string& fields) {
    return short_names(parse_adapter_config(R"({"peft_type": "LORA", )" + fields + "}", "f"));
  };
  EXPECT_THAT(names(R"("target_modules": ["q_proj", "model.layers.1.mlp.up_proj"])"),
              ElementsAre("q_proj"));
  EXPECT_THAT(names(R"("target_modules": ["q_proj"], "layers_to_transform": [0])"), ElementsAre());
  EXPECT_THAT(names(R"("target_modules": ["q_proj"], "exclude_modules": ["x"])"), ElementsAre());
  EXPECT_THAT(names(R"("target_modules": ".*q_proj")"), ElementsAre());
}

TEST_F(WriteAdapter, TargetsAreWholeNamesWithoutABaseModel) {
  write_adapter(folder_ / "a", example(), {});
  EXPECT_THAT(config()["target_modules"],
              ElementsAre(layer(0, "mlp.up_proj"), layer(0, "self_attn.q_proj"),
                          layer(1, "mlp.up_proj"), layer(1, "self_attn.q_proj")));
}

TEST_F(WriteAdapter, EmbeddingAndHeadHavePeftsKeys) {
  FactorMap modules;
  modules["model.embed_tokens"] = random_factors(4, 9, 2, 1);
  modules["lm_head"] = random_factors(9, 4, 2, 2);
  write_adapter(folder_ / "a", modules, {});
  const safetensors::Reader file(folder_ / "a/adapter_model.safetensors");
  EXPECT_THAT(file.info("base_model.model.model.embed_tokens.lora_embedding_A").shape,
              ElementsAre(2, 9));
  EXPECT_THAT(file.info("base_model.model.model.embed_tokens.lora_embedding_B").shape,
              ElementsAre(4, 2));
  EXPECT_THAT(file.info("base_model.model.lm_head.lora_B.weight").shape, ElementsAre(9, 2));
  EXPECT_THAT(json::read_text(file.file()),
              ::testing::HasSubstr(R"("__metadata__":{"format":"pt"})"));
  expect_equal(read_adapter(folder_ / "a").modules, modules);
}

TEST_F(WriteAdapter, StoresTheAskedType) {
  const FactorMap modules = example();
  for (const DType type : {DType::f16, DType::bf16}) {
    WriteOptions options;
    options.dtype = type;
    const auto folder = folder_ / std::string(name_of(type));
    write_adapter(folder, modules, options);
    EXPECT_EQ(read_adapter(folder).dtype, type);
  }
}

TEST_F(WriteAdapter, ConfigurationHasTheFormOfPeft) {
  WriteOptions options;
  options.base_model = "some/model-\u00e9";
  options.card = "# Card\n";
  FactorMap modules;
  modules[layer(0, "self_attn.q_proj")] = random_factors(6, 4, 2, 1);
  write_adapter(folder_ / "a", modules, options);
  EXPECT_EQ(json::read_text(folder_ / "a/adapter_config.json"), R"({
  "alpha_pattern": {},
  "auto_mapping": null,
  "base_model_name_or_path": "some/model-\u00e9",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layer_replication": null,
  "layers_pattern": null,
  "layers_to_transform": null,
  "loftq_config": {},
  "lora_alpha": 2,
  "lora_dropout": 0.0,
  "megatron_config": null,
  "megatron_core": "megatron.core",
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 2,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "model.layers.0.self_attn.q_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
})");
  EXPECT_EQ(json::read_text(folder_ / "a/README.md"), "# Card\n");
}

TEST_F(WriteAdapter, HasTheFieldsOfReferenceConfigurations) {
  const auto reference = test::golden("llama-mha/adapters/all-r4-a/adapter_config.json");
  write_adapter(folder_ / "a", example(), {});
  const auto keys = [](const json::Json& object) {
    std::vector<std::string> result;
    for (const auto& [key, value] : object.items()) result.push_back(key);
    return result;
  };
  EXPECT_EQ(keys(config()), keys(json::read_file(reference)));
}

TEST_F(WriteAdapter, NeverOverwritesAndLeavesNothingInPart) {
  write_adapter(folder_ / "a", example(), {});
  const std::string before = json::read_text(folder_ / "a/adapter_model.safetensors");
  D2C_EXPECT_ERROR(write_adapter(folder_ / "a", example(3, 3), {}), InputError, "/a",
                   "exists already");
  D2C_EXPECT_ERROR(write_adapter(folder_ / "a/", example(3, 3), {}), InputError, "exists already");
  EXPECT_EQ(json::read_text(folder_ / "a/adapter_model.safetensors"), before);

  FactorMap too_large = example();
  too_large.begin()->second.b(0, 0) = 1e6F;
  WriteOptions options;
  options.dtype = DType::f16;
  D2C_EXPECT_ERROR(write_adapter(folder_ / "b", too_large, options), InputError, "lora_B",
                   "not finite in F16");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  test::write_file(folder_ / "file", "");
  D2C_EXPECT_ERROR(write_adapter(folder_ / "file/c", example(), {}), IoError, "/file",
                   "cannot be made");
}

TEST_F(WriteAdapter, CreatesTheFoldersAbove) {
  write_adapter(folder_ / "x/y/a", example(), {});
  EXPECT_EQ(read_adapter(folder_ / "x/y/a").modules.size(), 4U);
}

TEST_F(WriteAdapter, ReferenceAdaptersKeepTheirUpdate) {
  for (const auto& entry : std::filesystem::directory_iterator(test::golden("qwen2/adapters"))) {
    SCOPED_TRACE(entry.path());
    const FactorMap original = read_adapter(entry.path()).modules;
    const auto copy = folder_ / entry.path().filename().string();
    write_adapter(copy, original, {});
    for (const auto& [name, read] : read_adapter(copy).modules) {
      SCOPED_TRACE(name);
      expect_padded(read, original.at(name), largest_rank(original));
    }
  }
}

}  // namespace
}  // namespace d2c::lora
