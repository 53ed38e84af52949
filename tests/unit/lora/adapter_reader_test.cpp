#include <array>
#include <cmath>

#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/safetensors/sharded_reader.hpp"

#include "adapter_fixture.hpp"

namespace d2c::lora {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

constexpr const char* q_name = "model.layers.0.self_attn.q_proj";
constexpr const char* v_name = "model.layers.0.self_attn.v_proj";
constexpr const char* qa = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
constexpr const char* qb = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";

class ReadAdapter : public ::testing::Test {
 protected:
  void SetUp() override {
    made_.add(q_name, 6, 4, 2);
    made_.add(v_name, 3, 4, 2);
  }
  [[nodiscard]] Adapter read(std::span<const TargetModule> base = {}) const {
    made_.save(folder_ / "a");
    return read_adapter(folder_ / "a", base);
  }

  test::TempFolder folder_;
  HandmadeAdapter made_;
  std::vector<TargetModule> base_{{q_name, 6, 4}, {v_name, 3, 4}, {"lm_head", 9, 4}};
};

TEST_F(ReadAdapter, GivesFactorsUnderTheNamesOfTheBaseModel) {
  const Adapter adapter = read(base_);
  EXPECT_EQ(adapter.folder, folder_ / "a");
  EXPECT_EQ(adapter.dtype, DType::f32);
  EXPECT_THAT(adapter.modules, ElementsAre(Key(q_name), Key(v_name)));
  const Factors& q = adapter.modules.at(q_name);
  EXPECT_EQ(q.a, made_.tensors.at(qa));
  EXPECT_EQ(q.b, made_.tensors.at(qb));
  EXPECT_EQ(q.scaling, 2.0);
  EXPECT_EQ(q.d_in(), 4);
  EXPECT_EQ(q.d_out(), 6);
}

TEST_F(ReadAdapter, AcceptsAnAdapterNameInTheKeys) {
  made_.tensors.clear();
  made_.add(q_name, 6, 4, 2, "default");
  made_.add(v_name, 3, 4, 2, "default");
  EXPECT_THAT(read(base_).modules, ElementsAre(Key(q_name), Key(v_name)));
}

TEST_F(ReadAdapter, RefusesSeveralAdaptersInOneFile) {
  made_.add(v_name, 3, 4, 2, "second");
  D2C_EXPECT_ERROR((void)read(), InputError, "adapter_model.safetensors", "several adapters",
                   "second");
}

TEST_F(ReadAdapter, RanksMayDifferPerModule) {
  made_.tensors.clear();
  made_.add(q_name, 6, 4, 2);
  made_.add(v_name, 3, 4, 3);
  made_.config = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": true,
      "target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 3},
      "alpha_pattern": {"v_proj": 5}})";
  const Adapter adapter = read(base_);
  EXPECT_EQ(adapter.modules.at(v_name).rank(), 3);
  EXPECT_EQ(adapter.modules.at(v_name).scaling, 5.0 / std::sqrt(3.0));
  EXPECT_EQ(adapter.modules.at(q_name).scaling, 4.0 / std::sqrt(2.0));
}

TEST_F(ReadAdapter, ReadsShortFloats) {
  for (const DType type : {DType::f16, DType::bf16}) {
    made_.dtype = type;
    const Adapter adapter = read();
    EXPECT_EQ(adapter.dtype, type);
    EXPECT_NEAR(adapter.modules.at(q_name).a(1, 2), made_.tensors.at(qa)(1, 2),
                std::abs(made_.tensors.at(qa)(1, 2)) * 0x1p-8);
    std::filesystem::remove_all(folder_ / "a");
  }
}

TEST_F(ReadAdapter, ReadsEmbeddingAndHeadInPeftsOrientation) {
  made_.tensors.clear();
  made_.config = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4,
                     "target_modules": ["embed_tokens", "lm_head"]})";
  made_.add("lm_head", 9, 4, 2);
  made_.tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = random_matrix(2, 9, 50);
  made_.tensors["base_model.model.model.embed_tokens.lora_embedding_B"] = random_matrix(4, 2, 51);
  const std::vector<TargetModule> base{{"model.embed_tokens", 4, 9}, {"lm_head", 9, 4}};
  const Adapter adapter = read(base);
  EXPECT_EQ(adapter.modules.at("model.embed_tokens").d_in(), 9);
  EXPECT_EQ(adapter.modules.at("model.embed_tokens").d_out(), 4);
  EXPECT_EQ(adapter.modules.at("lm_head").d_out(), 9);
}

TEST_F(ReadAdapter, RefusesFactorsOfTheWrongKindOfModule) {
  made_.tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_embedding_A"] =
      random_matrix(2, 9, 50);
  D2C_EXPECT_ERROR((void)read(), InputError, "q_proj.lora_embedding_A", "kind of module");
}

TEST_F(ReadAdapter, StoredBaseWeightsMustEqualThoseOfTheBaseModel) {
  made_.tensors.clear();
  made_.config = R"({"peft_type": "LORA", "r": 2, "target_modules": ["lm_head"]})";
  made_.add("lm_head", 9, 4, 2);
  const char* copy = "base_model.model.lm_head.base_layer.weight";
  made_.tensors[copy] = random_matrix(9, 4, 60);
  D2C_EXPECT_ERROR((void)read(), InputError, copy, "whole weights", "save_embedding_layers=False");

  // Tied models store one tensor for both.
  const Matrix embedding = random_matrix(9, 4, 60);
  safetensors::write(folder_ / "model.safetensors",
                     std::vector<safetensors::TensorToWrite>{
                         {"model.embed_tokens.weight", DType::f32, {9, 4}, embedding.values()}});
  for (const DType type : {DType::f32, DType::bf16}) {
    made_.dtype = type;
    made_.save(folder_ / "a");
    EXPECT_EQ(read_adapter(folder_ / "a", {}, folder_.path()).modules.size(), 1U);
  }
  made_.tensors[copy](8, 3) += 1.0F;
  made_.save(folder_ / "a");
  D2C_EXPECT_ERROR((void)read_adapter(folder_ / "a", {}, folder_.path()), InputError, copy,
                   "differs from the base model");
  made_.tensors[copy] = random_matrix(10, 4, 60);
  made_.save(folder_ / "a");
  D2C_EXPECT_ERROR((void)read_adapter(folder_ / "a", {}, folder_.path()), InputError, copy,
                   "[10, 4]", "[9, 4]", "resized");
}

TEST_F(ReadAdapter, RefusesModulesThatTheBaseModelLacks) {
  made_.config =
      R"({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj", "qkv_proj"]})";
  made_.add("model.layers.0.self_attn.qkv_proj", 12, 4, 2);
  D2C_EXPECT_ERROR((void)read(base_), InputError, "qkv_proj.lora_A.weight",
                   "module model.layers.0.self_attn.qkv_proj is not in the base model",
                   "fuses projections");
  EXPECT_EQ(read().modules.size(), 3U);
}

TEST_F(ReadAdapter, NamesTheWrapperThatLengthenedTheNames) {
  const auto saved = made_.tensors;
  for (const auto& [start, lengthening, wrapper] :
       {std::array{"_orig_mod.base_model.model.", "'_orig_mod.'", "torch.compile"},
        std::array{"base_model.model._orig_mod.", "'_orig_mod.'", "torch.compile"},
        std::array{"module.base_model.model.", "'module.'", "DistributedDataParallel"},
        std::array{"base_model.model.model.language_model.", "'language_model.'", "vision"}}) {
    made_.tensors.clear();
    std::string renamed;
    for (const auto& [name, matrix] : saved) {
      const std::string old_start = std::string_view(start).find("language") == std::string::npos
                                        ? "base_model.model."
                                        : "base_model.model.model.";
      made_.tensors[start + name.substr(old_start.size())] = matrix;
      if (renamed.empty()) renamed = "this one to " + name;
    }
    D2C_EXPECT_ERROR((void)read(base_), InputError, start, lengthening, wrapper, renamed);
  }
  // Adapters of a vision-language model can be merged without their base model.
  EXPECT_EQ(read().modules.size(), 2U);
}

TEST_F(ReadAdapter, AnUpdateOfZerosChangesNothing) {
  EXPECT_FALSE(changes_nothing(read().modules));
  for (auto& [name, matrix] : made_.tensors) {
    if (name.find("lora_B") != std::string::npos) matrix = Matrix(matrix.rows(), matrix.cols());
  }
  EXPECT_TRUE(changes_nothing(read().modules));
}

TEST_F(ReadAdapter, RefusesModulesThatTheConfigurationDoesNotSelect) {
  made_.add("model.layers.0.self_attn.k_proj", 3, 4, 2);
  D2C_EXPECT_ERROR((void)read(), InputError, "k_proj.lora_A.weight", "not selected");
}

TEST_F(ReadAdapter, RefusesAnAdapterThatLacksASelectedModule) {
  base_.push_back({"model.layers.1.self_attn.q_proj", 6, 4});
  D2C_EXPECT_ERROR((void)read(base_), InputError, "adapter_model.safetensors",
                   "no factors for module model.layers.1.self_attn.q_proj");
}

TEST_F(ReadAdapter, RefusesAFactorWithoutItsPartner) {
  made_.tensors.erase(qb);
  D2C_EXPECT_ERROR((void)read(), InputError, qa, "partner is missing");
  made_.add(q_name, 6, 4, 2);
  made_.tensors.erase(qa);
  D2C_EXPECT_ERROR((void)read(), InputError, qb, "partner is missing");
}

TEST_F(ReadAdapter, RefusesShapesThatDisagreeAndNamesBoth) {
  made_.tensors[qa] = random_matrix(3, 4, 1);
  D2C_EXPECT_ERROR((void)read(), InputError, qa, "[3, 4]", "rank 2");
  made_.tensors[qa] = random_matrix(2, 4, 1);
  made_.tensors[qb] = random_matrix(6, 3, 1);
  D2C_EXPECT_ERROR((void)read(), InputError, qb, "[6, 3]", "[2, 4]");
  made_.tensors[qb] = random_matrix(5, 2, 1);
  D2C_EXPECT_ERROR((void)read(base_), InputError, qb, "[5, 2]", "[6, 4]");
  made_.tensors[qb] = random_matrix(6, 2, 1);
  made_.tensors[qa] = random_matrix(2, 5, 1);
  D2C_EXPECT_ERROR((void)read(base_), InputError, qa, "[2, 5]", "[6, 4]");
  made_.tensors[qa] = random_matrix(2, 0, 1);
  D2C_EXPECT_ERROR((void)read(), InputError, qa, "[2, 0]", "inputs and outputs");
  made_.tensors[qa] = random_matrix(2, 4, 1);
  made_.tensors[qb] = random_matrix(0, 2, 1);
  D2C_EXPECT_ERROR((void)read(), InputError, qb, "[0, 2]", "inputs and outputs");
}

TEST_F(ReadAdapter, RefusesTensorsThatAreNoFactors) {
  for (const char* name :
       {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.a.b.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
        "base_model.model.score.modules_to_save.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight", "base_model.model.lora_A.weight", "x"}) {
    SCOPED_TRACE(name);
    made_.tensors[name] = random_matrix(2, 4, 1);
    D2C_EXPECT_ERROR((void)read(), InputError, "adapter_model.safetensors", name,
                     "not a LoRA factor");
    made_.tensors.erase(name);
  }
  made_.tensors.clear();
  D2C_EXPECT_ERROR((void)read(), InputError, "holds no LoRA factors");
}

TEST_F(ReadAdapter, NamesAbsentFiles) {
  D2C_EXPECT_ERROR((void)read_adapter(folder_ / "none"), IoError, "none/adapter_config.json");
  made_.save(folder_ / "a");
  std::filesystem::remove(folder_ / "a/adapter_model.safetensors");
  D2C_EXPECT_ERROR((void)read_adapter(folder_ / "a"), IoError, "adapter_model.safetensors",
                   "cannot be opened");
  test::write_file(folder_ / "a/adapter_model.bin", "");
  D2C_EXPECT_ERROR((void)read_adapter(folder_ / "a"), InputError, "adapter_model.bin",
                   "safe_serialization=True");
}

TEST_F(ReadAdapter, FingerprintSeesEveryPartOfTheContent) {
  const FactorMap modules = read().modules;
  const std::uint64_t original = fingerprint(modules);
  EXPECT_EQ(fingerprint(FactorMap(modules)), original);
  FactorMap changed = modules;
  changed.at(q_name).a(0, 0) = -changed.at(q_name).a(0, 0);
  EXPECT_NE(fingerprint(changed), original);
  changed = modules;
  changed.at(v_name).scaling *= 2.0;
  EXPECT_NE(fingerprint(changed), original);
  changed = modules;
  changed.erase(v_name);
  EXPECT_NE(fingerprint(changed), original);
  changed = modules;
  std::swap(changed.at(q_name), changed.at(v_name));
  EXPECT_NE(fingerprint(changed), original);
}

/// Reads every adapter below a folder against the model beside it. @return how many there are
int read_all_adapters(const std::filesystem::path& place) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
    if (entry.path().filename() != "adapter_config.json") continue;
    const auto folder = entry.path().parent_path();
    SCOPED_TRACE(folder);
    const auto model = folder.parent_path().parent_path() / "model";
    const safetensors::ShardedReader weights(model);
    std::vector<TargetModule> base;
    for (const auto& [name, info] : weights.tensors()) {
      if (name.ends_with("_proj.weight")) {
        base.push_back({name.substr(0, name.size() - 7), info.shape[0], info.shape[1]});
      }
    }
    const Adapter adapter = read_adapter(folder, base, model);
    const bool is_partial = folder.filename().string().starts_with("qv-");
    EXPECT_EQ(adapter.modules.size(), is_partial ? base.size() * 2 / 7 : base.size());
    ++count;
  }
  return count;
}

TEST(ReadAdapterReference, ReadsEveryGoldenAdapterAgainstItsBaseModel) {
  EXPECT_EQ(read_all_adapters(test::golden("")), 52);
}

TEST(ReadAdapterReference, ReadsEveryTrainedAdapterAgainstItsBaseModel) {
  D2C_SKIP_WITHOUT(test::shared("real/fv40"));
  EXPECT_EQ(read_all_adapters(test::shared("real/fv40")), 40);
}

TEST(ReadAdapterReference, ScalingsFollowPatternsAndRankStabilisation) {
  const auto folder = test::golden("llama-mha/adapters");
  const FactorMap patterns = read_adapter(folder / "all-r4-patterns").modules;
  EXPECT_EQ(patterns.at(q_name).scaling, 16.0 / 6.0);
  EXPECT_EQ(patterns.at("model.layers.2.self_attn.k_proj").scaling, 3.0 / 4.0);
  EXPECT_EQ(patterns.at("model.layers.1.mlp.down_proj").scaling, 16.0 / 2.0);
  EXPECT_EQ(patterns.at(v_name).scaling, 16.0 / 4.0);
  EXPECT_EQ(read_adapter(folder / "all-r8-rslora").modules.at(v_name).scaling,
            16.0 / std::sqrt(8.0));
}

}  // namespace
}  // namespace d2c::lora
