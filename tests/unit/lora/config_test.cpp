#include "d2c/lora/config.hpp"

#include <cmath>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c::lora {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

/// A plain configuration with `fields` added, e.g. R"("r": 4)".
AdapterConfig parse(const std::string& fields) {
  return parse_adapter_config(
      R"({"peft_type": "LORA")" + (fields.empty() ? "" : ", " + fields) + "}", "a/config.json");
}
ModuleRules rules(const std::string& fields) { return ModuleRules(parse(fields)); }

TEST(AdapterConfig, ReadsWhatDecidesTheComputation) {
  const AdapterConfig config = parse(
      R"("base_model_name_or_path": "b", "r": 4, "lora_alpha": 6.5, "use_rslora": true,
         "target_modules": ["q_proj", "v_proj"], "exclude_modules": "x.*",
         "layers_to_transform": [0, 2], "layers_pattern": "layers",
         "rank_pattern": {"z": 2, "a": 3}, "alpha_pattern": {"k_proj": 1.5})");
  EXPECT_EQ(config.base_model, "b");
  EXPECT_EQ(config.rank, 4);
  EXPECT_EQ(config.alpha, 6.5);
  EXPECT_TRUE(config.use_rslora);
  EXPECT_THAT(config.targets.names, ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(config.excluded.regex, "x.*");
  EXPECT_THAT(config.layers_to_transform, ElementsAre(0, 2));
  EXPECT_THAT(config.layers_pattern, ElementsAre("layers"));
  EXPECT_THAT(config.rank_pattern, ElementsAre(Pair("z", 2), Pair("a", 3)));  // order of the file
  EXPECT_THAT(config.alpha_pattern, ElementsAre(Pair("k_proj", 1.5)));
}

TEST(AdapterConfig, AbsentFieldsHavePeftsDefaults) {
  const AdapterConfig config = parse(R"("base_model_name_or_path": null, "rank_pattern": null)");
  EXPECT_EQ(config.base_model, "");
  EXPECT_EQ(config.rank, 8);
  EXPECT_EQ(config.alpha, 8.0);
  EXPECT_FALSE(config.use_rslora);
  EXPECT_EQ(config.targets.form, ModuleSelector::Form::none);
}

TEST(AdapterConfig, IgnoresFieldsThatCannotChangeATrainedAdapter) {
  for (const char* field : {R"("inference_mode": true)",
                            R"("task_type": "CAUSAL_LM")",
                            R"("lora_dropout": 0.1)",
                            R"("revision": "main")",
                            R"("auto_mapping": {"base_model_class": "M"})",
                            R"("peft_version": "0.17.0")",
                            R"("megatron_core": "megatron.core")",
                            R"("runtime_config": {"ephemeral_gpu_offload": true})",
                            R"("qalora_group_size": 16)",
                            R"("init_lora_weights": false)",
                            R"("init_lora_weights": "gaussian")",
                            R"("init_lora_weights": "eva", "eva_config": {"rho": 2.0})",
                            R"("init_lora_weights": "orthogonal")",
                            R"("loftq_config": {"loftq_bits": 4})",
                            R"("bias": "none")",
                            R"("use_dora": false)",
                            R"("modules_to_save": [])",
                            R"("layer_replication": null)",
                            R"("from_the_future": false)",
                            R"("from_the_future": {})",
                            R"("from_the_future": 0)",
                            R"("from_the_future": "")"}) {
    SCOPED_TRACE(field);
    EXPECT_NO_THROW((void)parse(field));
  }
}

TEST(AdapterConfig, RefusesByNameWhatIsNotPlainLora) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("use_dora": true)", "use_dora"},
      {R"("lora_bias": true)", "lora_bias"},
      {R"("bias": "all")", "bias"},
      {R"("bias": "lora_only")", "bias"},
      {R"("modules_to_save": ["lm_head"])", "modules_to_save"},
      {R"("trainable_token_indices": [1, 2])", "trainable_token_indices"},
      {R"("trainable_token_indices": {"embed_tokens": [1]})", "trainable_token_indices"},
      {R"("target_parameters": ["mlp.experts.gate_up_proj"])", "target_parameters"},
      {R"("layer_replication": [[0, 4], [2, 5]])", "layer_replication"},
      {R"("fan_in_fan_out": true)", "fan_in_fan_out"},
      {R"("megatron_config": {"a": 1})", "megatron_config"},
      {R"("use_qalora": true)", "use_qalora"},
      {R"("alora_invocation_tokens": [5])", "alora_invocation_tokens"},
      {R"("use_bdlora": {"nblocks": 2})", "use_bdlora"},
      {R"("arrow_config": {"top_k": 2})", "arrow_config"},
      {R"("kasa_config": {"beta": 0.1})", "kasa_config"},
      {R"("monteclora_config": {"n": 4})", "monteclora_config"},
      {R"("ensure_weight_tying": true)", "ensure_weight_tying"},
      {R"("init_lora_weights": "pissa")", "init_lora_weights"},
      {R"("init_lora_weights": "pissa_niter_16")", "init_lora_weights"},
      {R"("init_lora_weights": "olora")", "init_lora_weights"},
      {R"("init_lora_weights": "corda")", "init_lora_weights"},
      {R"("init_lora_weights": "loftq")", "init_lora_weights"},
      {R"("init_lora_weights": "lora_ga")", "init_lora_weights"},
      {R"("init_lora_weights": "from_the_future")", "init_lora_weights"},
      {R"("from_the_future": {"x": 1})", "from_the_future"},
      {R"("from_the_future": 0.5)", "from_the_future"},
  };
  for (const auto& [field, word] : cases) {
    SCOPED_TRACE(field);
    D2C_EXPECT_ERROR((void)parse(field), InputError, "a/config.json", word);
  }
}

TEST(AdapterConfig, RefusesValuesOfTheWrongKind) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("r": 0)", "r"},
      {R"("r": -4)", "r"},
      {R"("r": 4.5)", "r"},
      {R"("r": "4")", "r"},
      {R"("r": 18446744073709551615)", "r"},
      {R"("lora_alpha": "16")", "lora_alpha"},
      {R"("use_rslora": "yes")", "use_rslora"},
      {R"("target_modules": 3)", "target_modules"},
      {R"("target_modules": ["q_proj", 3])", "target_modules"},
      {R"("target_modules": "(")", "not a valid regular expression"},
      {R"("exclude_modules": "[")", "exclude_modules"},
      {R"("layers_to_transform": "0")", "layers_to_transform"},
      {R"("layers_to_transform": [0.5])", "layers_to_transform"},
      {R"("layers_to_transform": 1, "target_modules": "q")", "layers_to_transform"},
      {R"("layers_to_transform": 1, "layers_pattern": "(")", "layers_pattern"},
      {R"("rank_pattern": [])", "rank_pattern"},
      {R"("rank_pattern": {"q": 0})", "rank_pattern['q']"},
      {R"("rank_pattern": {"(": 1})", "rank_pattern"},
      {R"("alpha_pattern": {"q": null})", "alpha_pattern['q']"},
      {R"("base_model_name_or_path": 3)", "base_model_name_or_path"},
      {R"("r": 4, "r": 8)", "appears twice"},
  };
  for (const auto& [field, word] : cases) {
    SCOPED_TRACE(field);
    D2C_EXPECT_ERROR((void)parse(field), InputError, "a/config.json", word);
  }
  D2C_EXPECT_ERROR((void)parse_adapter_config("[]", "c"), InputError, "not a JSON object");
  D2C_EXPECT_ERROR((void)parse_adapter_config("{}", "c"), InputError, "peft_type", "missing");
  D2C_EXPECT_ERROR((void)parse_adapter_config(R"({"peft_type": "LOHA"})", "c"), InputError,
                   "peft_type", "LOHA");
}

// The expectations below follow check_target_module_exists and get_pattern_key of PEFT.

TEST(ModuleRules, AListMeansExactNamesAndSuffixesAfterADot) {
  const auto r = rules(R"("target_modules": ["q_proj", "layers.1.mlp.up_proj", "lm_head"])");
  EXPECT_TRUE(r.selects("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(r.selects("model.layers.1.mlp.up_proj"));
  EXPECT_TRUE(r.selects("lm_head"));
  EXPECT_FALSE(r.selects("model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(r.selects("model.layers.11.mlp.up_proj"));
  EXPECT_FALSE(r.selects("model.layers.0.self_attn.eq_proj"));
  EXPECT_FALSE(r.selects("model.layers.0.self_attn.q_proj.x"));
}

TEST(ModuleRules, ATextIsARegularExpressionForTheWholeName) {
  const auto r = rules(R"("target_modules": ".*\\.(?P<a>q|v)_proj")");
  EXPECT_TRUE(r.selects("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(r.selects("q_proj"));
  EXPECT_FALSE(r.selects("model.layers.0.self_attn.q_proj.x"));
  // re.fullmatch tries the longer branch when the shorter one does not reach the end.
  EXPECT_TRUE(rules(R"("target_modules": "a|ab")").selects("ab"));
  EXPECT_TRUE(rules(R"("target_modules": "model\\.layers\\.(?!0\\.)\\d+\\.q")")
                  .selects("model.layers.3.q"));
  EXPECT_FALSE(rules(R"("target_modules": "model\\.layers\\.(?!0\\.)\\d+\\.q")")
                   .selects("model.layers.0.q"));
}

TEST(ModuleRules, ExpressionsMeanWhatTheyMeanInPython) {
  const auto selects = [](const std::string& pattern, const char* module) {
    return rules(fmt::format(R"("target_modules": "{}")", pattern)).selects(module);
  };
  EXPECT_TRUE(selects(R"(layers\\.\\d{,2}\\.q)", "layers.12.q"));
  EXPECT_FALSE(selects(R"(layers\\.\\d{,2}\\.q)", "layers.123.q"));
  EXPECT_TRUE(selects("a{,}b", "aaab"));
  EXPECT_TRUE(selects("a{x}", "a{x}"));
  EXPECT_TRUE(selects("a{1}?b{2,3}+", "abbb"));
  EXPECT_TRUE(selects(R"(q\\Z)", "q"));
  EXPECT_TRUE(selects(R"([[:alpha:]]+)", "p]"));  // a set of [ : a l p h, then ]
  EXPECT_TRUE(selects(R"([]a-]+\\x41\\u0042)", "]-aAB"));
  EXPECT_TRUE(selects("(?i)Q_proj", "q_proj"));
  EXPECT_TRUE(selects("(?i:Q)_(?P<x>p)(?P=x)(?#c)", "q_pp"));
  for (const char* pattern :
       {R"(a\\h)", R"(a\\R)", R"(\\Qa\\E)", R"(a\\K)", R"(\\x4)", "(?<n>a)", "(?|a)", "(*ACCEPT)",
        "(?R)", "a(?i)b", "(?P>n)", "a{2}{3}", "a**", R"([\\h])"}) {
    D2C_EXPECT_ERROR((void)selects(pattern, "a"), InputError, "target_modules", "not supported");
  }
}

TEST(ModuleRules, AnExpressionThatNeverEndsIsAnError) {
  const auto r = rules(R"("target_modules": "(a+)+[bc]")");
  D2C_EXPECT_ERROR((void)r.selects(std::string(60, 'a')), InputError, "target_modules",
                   "too many steps");
}

TEST(ModuleRules, AllLinearLeavesOutEmbeddingAndHead) {
  for (const char* text : {"all-linear", "ALL-Linear"}) {
    const auto r = rules(R"("target_modules": ")" + std::string(text) + "\"");
    EXPECT_TRUE(r.selects("model.layers.0.mlp.gate_proj"));
    EXPECT_FALSE(r.selects("lm_head"));
    EXPECT_FALSE(r.selects("model.embed_tokens"));
  }
}

TEST(ModuleRules, NullMeansAnyModule) {
  EXPECT_TRUE(rules(R"("target_modules": null)").selects("model.layers.0.mlp.gate_proj"));
}

TEST(ModuleRules, ExclusionComesFirst) {
  const auto by_name =
      rules(R"("target_modules": ["q_proj"], "exclude_modules": ["layers.0.self_attn.q_proj"])");
  EXPECT_FALSE(by_name.selects("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(by_name.selects("model.layers.1.self_attn.q_proj"));
  const auto by_regex =
      rules(R"("target_modules": "all-linear", "exclude_modules": ".*\\.mlp\\..*")");
  EXPECT_FALSE(by_regex.selects("model.layers.0.mlp.up_proj"));
  EXPECT_TRUE(by_regex.selects("model.layers.0.self_attn.q_proj"));
}

TEST(ModuleRules, LayersToTransformLimitsSuffixesButNotWholeNames) {
  const auto r = rules(
      R"("target_modules": ["q_proj", "model.layers.3.self_attn.q_proj"], "layers_to_transform": [0, 12])");
  EXPECT_TRUE(r.selects("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(r.selects("model.layers.12.self_attn.q_proj"));
  EXPECT_FALSE(r.selects("model.layers.1.self_attn.q_proj"));
  EXPECT_TRUE(r.selects("model.layers.3.self_attn.q_proj"));
  EXPECT_FALSE(rules(R"("target_modules": ["lm_head", "q_proj"], "layers_to_transform": 0)")
                   .selects("x.q_proj"));
  EXPECT_TRUE(rules(R"("target_modules": ["q_proj"], "layers_to_transform": [])")
                  .selects("model.layers.7.self_attn.q_proj"));
}

TEST(ModuleRules, RefusesALayersPatternWhoseGroupIsNotTheNumberOfALayer) {
  const std::string fields =
      R"("target_modules": ["q"], "layers_to_transform": 1, "layers_pattern": )";
  D2C_EXPECT_ERROR((void)rules(fields + R"("h)|(?:model")").selects("model.h.1.q"), InputError,
                   "layers_pattern", "without its group");
  D2C_EXPECT_ERROR((void)rules(fields + R"x("(h)")x").selects("model.h.1.q"), InputError,
                   "layers_pattern", "must be the number");
}

TEST(AdapterConfig, RefusesMoreEntriesThanAnyModelHasModules) {
  std::string entries;
  for (int i = 0; i <= 10'000; ++i) entries += fmt::format("{}\"m{}\": 1", i == 0 ? "" : ",", i);
  D2C_EXPECT_ERROR((void)parse(fmt::format(R"("rank_pattern": {{{}}})", entries)), InputError,
                   "rank_pattern", "10001 entries");
  D2C_EXPECT_ERROR((void)parse(fmt::format(R"("loftq_config": [{{"a": {{{}}}}}])", entries)),
                   InputError, "loftq_config", "10001 entries");
  D2C_EXPECT_ERROR((void)parse(entries), InputError, "a/config.json", "10002 entries");
}

TEST(ModuleRules, LayersPatternNamesTheListOfLayers) {
  const std::string fields =
      R"("target_modules": ["q"], "layers_to_transform": 1, "layers_pattern": )";
  EXPECT_TRUE(rules(fields + R"("h")").selects("model.h.1.block.0.q"));
  EXPECT_FALSE(rules(fields + R"("h")").selects("model.layers.1.q"));
  EXPECT_TRUE(rules(fields + R"(["layers", "h"])").selects("model.h.1.q"));
  // Without a pattern the last number counts.
  EXPECT_FALSE(
      rules(R"("target_modules": ["q"], "layers_to_transform": 1)").selects("model.h.1.block.0.q"));
}

TEST(ModuleRules, TheFirstPatternThatMatchesGivesRankAndAlpha) {
  const auto r = rules(
      R"("r": 4, "lora_alpha": 16,
         "rank_pattern": {"self_attn.q_proj": 6, "q_proj": 2, "layers.[01].mlp.up_proj": 3},
         "alpha_pattern": {"k_proj": 3, "lm_head": 1})");
  EXPECT_EQ(r.rank("model.layers.0.self_attn.q_proj"), 6);
  EXPECT_EQ(r.rank("model.layers.0.other.q_proj"), 2);
  EXPECT_EQ(r.rank("q_proj"), 2);
  EXPECT_EQ(r.rank("model.layers.1.mlp.up_proj"), 3);
  EXPECT_EQ(r.rank("model.layers.2.mlp.up_proj"), 4);
  EXPECT_EQ(r.rank("model.layers.0.self_attn.eq_proj"), 4);
  EXPECT_EQ(r.alpha("model.layers.0.self_attn.k_proj"), 3.0);
  EXPECT_EQ(r.alpha("lm_head"), 1.0);
  EXPECT_EQ(r.alpha("model.layers.0.self_attn.v_proj"), 16.0);
}

TEST(ModuleRules, ScalingIsAlphaByRankOrByItsRoot) {
  const std::string fields = R"("r": 4, "lora_alpha": 6, "rank_pattern": {"q": 9})";
  const auto plain = rules(fields);
  EXPECT_EQ(plain.scaling("m.v"), 1.5);
  EXPECT_EQ(plain.scaling("m.q"), 6.0 / 9.0);
  const auto stabilised = rules(fields + R"(, "use_rslora": true)");
  EXPECT_EQ(stabilised.scaling("m.v"), 3.0);
  EXPECT_EQ(stabilised.scaling("m.q"), 2.0);
}

/// Published configurations: those listed are plain LoRA; "" = accepted, else the word by which
/// the file is refused. All others are of other methods and are refused by their peft_type.
TEST(AdapterConfig, PublishedConfigurationsAreAcceptedOrRefusedForTheRightReason) {
  const std::map<std::string, std::string> lora_files = {
      {"MetaMathQA__lora__llama-3.2-3B-rank10-target-mlp", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank14-target-mlp-bdlora", "use_bdlora"},
      {"MetaMathQA__lora__llama-3.2-3B-rank32", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank32-dora", "use_dora"},
      {"MetaMathQA__lora__llama-3.2-3B-rank32-kasa", "kasa_config"},
      {"MetaMathQA__lora__llama-3.2-3B-rank32-lorafa", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank32-mica", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank32-riemannian", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank64", ""},
      {"MetaMathQA__lora__llama-3.2-3B-rank64-rslora", ""},
      {"image-gen__dora__flux2-klein-rank64", "use_dora"},
      {"image-gen__lora__flux2-klein-default", ""},
      {"image-gen__lora__flux2-klein-rank64", ""},
      {"image-gen__lora__flux2-klein-rank64-kasa", "kasa_config"},
      {"text_generation_benchmark__lora__lora_r8", ""},
  };
  const auto folder = test::shared("real/peft-configs");
  D2C_SKIP_WITHOUT(folder);
  std::size_t n_lora = 0;
  std::size_t n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    ++n_files;
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    const std::string text = json::read_text(entry.path());
    const auto row = lora_files.find(name);
    if (row == lora_files.end()) {
      const std::string type = json::parse(text, entry.path()).at("peft_type");
      EXPECT_NE(type, "LORA");
      const std::string reason = "peft_type: " + type + " is not supported";
      D2C_EXPECT_ERROR((void)parse_adapter_config(text, entry.path()), InputError, name, reason);
      continue;
    }
    ++n_lora;
    if (row->second.empty()) {
      EXPECT_NO_THROW((void)parse_adapter_config(text, entry.path()));
    } else {
      D2C_EXPECT_ERROR((void)parse_adapter_config(text, entry.path()), InputError, name,
                       row->second);
    }
  }
  EXPECT_EQ(n_lora, lora_files.size());
  EXPECT_EQ(n_files, 103U);
}

}  // namespace
}  // namespace d2c::lora
