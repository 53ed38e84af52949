#include "d2c/model/config.hpp"

#include <cmath>
#include <map>
#include <string>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "test_support.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using json::Json;

class Config : public testing::Test {
 protected:
  /// Reads the configuration of a small Llama with some keys put over it.
  [[nodiscard]] ModelConfig read(const Json& changes) const {
    return read_text(test::tiny_model(changes).config.dump());
  }
  [[nodiscard]] ModelConfig read_text(const std::string& text) const {
    test::write_file(folder_ / "config.json", text);
    return read_config(folder_ / "config.json");
  }
  /// The configuration with one key set, without any meaning of null.
  [[nodiscard]] ModelConfig read_with(const std::string& key, const Json& value) const {
    Json config = test::tiny_model(Json::object()).config;
    config[key] = value;
    return read_text(config.dump());
  }

 private:
  test::TempFolder folder_;
};

TEST_F(Config, ReadsTheShapeOfTheModel) {
  const ModelConfig config = read(Json::object());
  EXPECT_EQ(config.family, "llama");
  EXPECT_EQ(config.hidden_size, 20);
  EXPECT_EQ(config.n_heads, 4);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.q_size(), 32);
  EXPECT_EQ(config.kv_size(), 16);
  EXPECT_EQ(config.max_positions, 64);
  ASSERT_EQ(config.kinds.size(), 2U);
  EXPECT_EQ(config.kinds.at(1).window, 0);
}

TEST_F(Config, TheEndOfASequenceIsTheFirstTokenThatIsNamed) {
  EXPECT_EQ(read_with("eos_token_id", 7).eos_token_id, 7);
  EXPECT_EQ(read_with("eos_token_id", Json::array({5, 6})).eos_token_id, 5);
  EXPECT_FALSE(read_with("eos_token_id", nullptr).eos_token_id);
  EXPECT_FALSE(read_with("eos_token_id", Json::array()).eos_token_id);
  EXPECT_FALSE(read_with("eos_token_id", -1).eos_token_id);
  EXPECT_FALSE(read_with("eos_token_id", 50).eos_token_id);
  EXPECT_FALSE(read_with("eos_token_id", (std::int64_t{1} << 32) + 7).eos_token_id);
}

TEST_F(Config, AbsentKeysTakeTheFamilysDefaults) {
  Json config = test::tiny_model(Json::object()).config;
  for (const auto* key : {"num_key_value_heads", "rope_theta", "rms_norm_eps", "hidden_act"}) {
    config.erase(key);
  }
  const ModelConfig model = read_text(config.dump());
  EXPECT_EQ(model.n_kv_heads, 4);
  EXPECT_EQ(model.norm_eps, 1e-6F);
  EXPECT_FALSE(model.tied_embeddings);
  EXPECT_DOUBLE_EQ(model.ropes.at(0).inverse_frequencies.at(1), std::pow(10000.0, -0.25));
}

TEST_F(Config, MistralWithoutTheKeyHasTheDefaultWindow) {
  EXPECT_EQ(read({{"model_type", "mistral"}}).kinds.at(0).window, 4096);
}

// configuration_qwen2.py of transformers: the window of null is None, whatever use_sliding_window.
TEST_F(Config, QwenWithAWindowOfNullHasNone) {
  Json config = test::tiny_model({{"model_type", "qwen2"}}).config;
  config["use_sliding_window"] = true;
  config["max_window_layers"] = 0;
  EXPECT_EQ(read_text(config.dump()).kinds.at(0).window, 4096);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(read_text(config.dump()).kinds.at(0).window, 0);
}

TEST_F(Config, HarmlessAndSwitchedOffKeysAreAccepted) {
  EXPECT_NO_THROW((void)read({{"torch_dtype", "bfloat16"},
                              {"_name_or_path", "x"},
                              {"temperature", 0.7},
                              {"pretraining_tp", 1},
                              {"is_llama_config", true},
                              {"max_sequence_length", 2048},
                              {"use_flash_attention_2", true},
                              {"pad_token_id", -1},
                              {"rope_interleaved", false},
                              {"transformers.js_config", {{"dtype", "q4"}}},
                              {"architectures", {"LlamaForCausalLM"}}}));
  EXPECT_NO_THROW((void)read_with("quantization_config", nullptr));
  EXPECT_NO_THROW((void)read_with("some_new_switch", false));
  EXPECT_NO_THROW((void)read_with("rope_scaling", nullptr));
}

TEST_F(Config, KeysThatMayChangeTheComputationAreRefusedByName) {
  for (const auto& [key, value] :
       std::map<std::string, Json>{{"quantization_config", {{"bits", 4}}},
                                   {"attn_logit_softcapping", 50.0},
                                   {"final_logit_softcapping", 30.0},
                                   {"no_rope_layers", {1, 0}},
                                   {"rope_interleaved", true},
                                   {"embedding_multiplier", 12.0},
                                   {"num_local_experts", 8},
                                   {"some_new_switch", true}}) {
    D2C_EXPECT_ERROR((void)read_with(key, value), InputError, "config.json", key, "not supported");
  }
  D2C_EXPECT_ERROR((void)read({{"pretraining_tp", 2}}), InputError, "pretraining_tp");
  D2C_EXPECT_ERROR((void)read({{"hidden_act", "xielu"}}), InputError, "hidden_act", "xielu",
                   "gelu_pytorch_tanh");
}

// masking_utils.py of transformers 5: is_causal false gives a mask without order.
TEST_F(Config, AttentionThatLooksAheadIsRefused) {
  EXPECT_NO_THROW((void)read_with("is_causal", true));
  D2C_EXPECT_ERROR((void)read_with("is_causal", false), InputError, "config.json", "is_causal",
                   "not supported");
  D2C_EXPECT_ERROR((void)read({{"model_type", "qwen2"}, {"is_causal", false}}), InputError,
                   "is_causal");
}

TEST_F(Config, KeysOfAnotherFamilyAreRefused) {
  D2C_EXPECT_ERROR((void)read({{"sliding_window", 16}}), InputError, "sliding_window");
  D2C_EXPECT_ERROR((void)read({{"model_type", "qwen2"}, {"qk_layernorm", true}}), InputError,
                   "qk_layernorm");
}

TEST_F(Config, UnknownFamiliesAreRefusedWithTheListOfKnownOnes) {
  D2C_EXPECT_ERROR((void)read({{"model_type", "mamba2"}}), InputError, "model_type", "mamba2",
                   "llama, ministral3, mistral, mistral3, olmo2");
  D2C_EXPECT_ERROR((void)read_text("{}"), InputError, "model_type", "is missing");
  D2C_EXPECT_ERROR((void)read({{"architectures", {"LlamaForSequenceClassification"}}}), InputError,
                   "architectures", "LlamaForCausalLM");
}

TEST_F(Config, ShapesThatCannotBeAreRefused) {
  D2C_EXPECT_ERROR((void)read_with("hidden_size", 0), InputError, "hidden_size", "positive");
  D2C_EXPECT_ERROR((void)read_with("hidden_size", -4), InputError, "hidden_size");
  D2C_EXPECT_ERROR((void)read_with("hidden_size", 4.5), InputError, "hidden_size", "integer");
  D2C_EXPECT_ERROR((void)read_with("hidden_size", "20"), InputError, "hidden_size");
  D2C_EXPECT_ERROR((void)read_with("hidden_size", 1e300), InputError, "hidden_size");
  D2C_EXPECT_ERROR((void)read_with("vocab_size", 99999999999999LL), InputError, "vocab_size");
  D2C_EXPECT_ERROR((void)read_with("vocab_size", nullptr), InputError, "vocab_size", "missing");
  D2C_EXPECT_ERROR((void)read_with("num_key_value_heads", 3), InputError, "num_key_value_heads",
                   "does not divide");
  D2C_EXPECT_ERROR((void)read({{"head_dim", nullptr}, {"hidden_size", 21}}), InputError,
                   "num_attention_heads", "does not divide hidden_size 21");
  D2C_EXPECT_ERROR((void)read_with("head_dim", 7), InputError, "partial_rotary_factor", "even");
  D2C_EXPECT_ERROR((void)read_with("rms_norm_eps", 0), InputError, "rms_norm_eps");
  D2C_EXPECT_ERROR((void)read_with("tie_word_embeddings", 1), InputError, "tie_word_embeddings",
                   "true or false");
  D2C_EXPECT_ERROR((void)read_with("num_hidden_layers", 2000000000), InputError,
                   "num_hidden_layers", "at most");
  D2C_EXPECT_ERROR((void)read_with("head_dim", 2000000000), InputError, "head_dim", "at most");
  D2C_EXPECT_ERROR((void)read_text("[1]"), InputError, "not a JSON object");
}

TEST_F(Config, RopeScalingsAreCheckedKeyByKey) {
  const auto scaled = [&](const Json& scaling) { return read({{"rope_scaling", scaling}}); };
  D2C_EXPECT_ERROR((void)scaled({{"rope_type", "ntk"}}), InputError, "rope_scaling.rope_type",
                   "ntk", "yarn");
  D2C_EXPECT_ERROR((void)scaled({{"rope_type", "longrope"}, {"short_factor", {1, 2}}}), InputError,
                   "rope_scaling.short_factor", "has 2 numbers", "4 are needed");
  D2C_EXPECT_ERROR((void)scaled({{"type", "dynamic"}, {"factor", 2.0}, {"alpha", 9.0}}), InputError,
                   "rope_scaling.alpha");
  D2C_EXPECT_ERROR((void)scaled({{"type", "linear"}}), InputError, "rope_scaling.factor",
                   "missing");
  D2C_EXPECT_ERROR((void)scaled({{"type", "linear"}, {"factor", -1.0}}), InputError,
                   "rope_scaling.factor", "positive");
  D2C_EXPECT_ERROR((void)scaled({{"type", "linear"}, {"factor", 2.0}, {"mrope_section", {1, 2}}}),
                   InputError, "rope_scaling.mrope_section");
  D2C_EXPECT_ERROR((void)scaled({{"rope_type", "llama3"},
                                 {"factor", 8.0},
                                 {"low_freq_factor", 4.0},
                                 {"high_freq_factor", 4.0},
                                 {"original_max_position_embeddings", 32}}),
                   InputError, "high_freq_factor");
  D2C_EXPECT_ERROR((void)read({{"rope_scaling", "linear"}}), InputError, "rope_scaling",
                   "not a JSON object");
  D2C_EXPECT_ERROR((void)read({{"rope_theta", 1.0}}), InputError, "rope_theta");
  // Parameters per type of layer.
  D2C_EXPECT_ERROR(
      (void)read({{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}}),
      InputError, "rope_parameters.full_attention");
}

TEST_F(Config, LayerTypesMustFitTheModel) {
  const auto typed = [&](const Json& types, bool window) {
    return read({{"model_type", "qwen2"},
                 {"sliding_window", 8},
                 {"use_sliding_window", window},
                 {"layer_types", types}});
  };
  D2C_EXPECT_ERROR((void)typed({"full_attention"}, true), InputError, "layer_types", "2 layers");
  D2C_EXPECT_ERROR((void)typed({"full_attention", "chunked_attention"}, true), InputError,
                   "layer_types", "chunked_attention");
  D2C_EXPECT_ERROR((void)typed({"full_attention", "sliding_attention"}, false), InputError,
                   "layer_types", "sliding_attention");
}

TEST_F(Config, WhatAFamilyDoesNotComputeIsRefused) {
  const auto of = [&](const std::string& type, Json changes) {
    changes["model_type"] = type;
    return read(changes);
  };
  D2C_EXPECT_ERROR((void)of("gemma2", {{"use_bidirectional_attention", true}}), InputError,
                   "use_bidirectional_attention");
  D2C_EXPECT_ERROR((void)of("gemma3_text", {{"rope_parameters", {{"rope_type", "default"}}}}),
                   InputError, "rope_parameters", "full_attention and sliding_attention");
  // modeling_gemma3.py of transformers: the attention is called without softcap.
  D2C_EXPECT_ERROR((void)of("gemma3_text", {{"attn_logit_softcapping", 50.0}}), InputError,
                   "attn_logit_softcapping");
  D2C_EXPECT_ERROR((void)of("granitemoehybrid", {{"num_local_experts", 4}}), InputError,
                   "num_local_experts", "experts");
  D2C_EXPECT_ERROR((void)of("granitemoehybrid",
                            {{"num_local_experts", 0}, {"layer_types", {"attention", "mamba"}}}),
                   InputError, "layer_types", "Mamba");
  D2C_EXPECT_ERROR((void)of("smollm3", {{"no_rope_layers", {1}}}), InputError, "no_rope_layers",
                   "2 layers");
  D2C_EXPECT_ERROR((void)of("phi3", {{"attention_bias", true}}), InputError, "attention_bias");
  D2C_EXPECT_ERROR((void)of("phi3", {{"full_attn_mod", 2}}), InputError, "full_attn_mod");
  D2C_EXPECT_ERROR((void)of("exaone4", {{"sliding_window_pattern", "LLLG"}}), InputError,
                   "sliding_window_pattern");
  D2C_EXPECT_ERROR((void)of("mistral3", {{"text_config", {{"model_type", "llama"}}}}), InputError,
                   "text_config.model_type", "llama");
}

TEST_F(Config, DefaultsAreThoseOfTheFamily) {
  const auto of = [&](const std::string& type) { return read({{"model_type", type}}); };
  const ModelConfig gemma2 = of("gemma2");
  EXPECT_EQ(gemma2.attention_cap, 50.0F);
  EXPECT_EQ(gemma2.logit_cap, 30.0F);
  EXPECT_EQ(gemma2.attention_scale, 1.0F / 16.0F);
  EXPECT_EQ(gemma2.activation, ops::Activation::gelu_tanh);
  EXPECT_TRUE(gemma2.tied_embeddings);
  EXPECT_EQ(gemma2.kinds.at(0).window, 4096);
  EXPECT_EQ(gemma2.kinds.at(1).window, 0);
  const ModelConfig gemma3 = of("gemma3_text");
  EXPECT_EQ(gemma3.attention_cap, 0.0F);
  EXPECT_EQ(gemma3.kinds.at(1).rope, 1);
  EXPECT_EQ(of("granite").logit_scale, 1.0F);
  EXPECT_EQ(of("granite").attention_scale, 1.0F);
  EXPECT_TRUE(of("smollm3").tied_embeddings);
  EXPECT_EQ(of("smollm3").kinds.at(1).rope, 0);
  EXPECT_EQ(of("olmo3").kinds.at(0).window, 4096);
  EXPECT_EQ(of("exaone4").kinds.at(0).rope, 0);
  EXPECT_EQ(of("phi3").kinds.at(0).window, 0);
  EXPECT_EQ(of("ministral3").kinds.at(0).window, 0);
}

}  // namespace
}  // namespace d2c::model
