// What a model folder holds beside its tokenizer.
#include <memory>

#include "d2c/core/input_file.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/model/model.hpp"

#include "input.hpp"
#include "test_support.hpp"

namespace d2c::fuzz {
namespace {

using d2c::test::golden;
using d2c::test::source;

std::vector<std::string> configs() {
  std::vector<std::string> all;
  for (const char* model :
       {"llama-mha", "llama-v5-config", "llama3-gqa-tied", "gemma2", "gemma3", "granite",
        "mistral-sliding", "olmo2", "phi3", "qwen2", "qwen3", "smollm3", "stablelm2"}) {
    all.push_back(read_text(golden(std::string(model) + "/model/config.json")));
  }
  return all;
}

/// The configuration of weights that are there.
void read_model(const Input& input) {
  const auto folder = golden("qwen2/model");
  static_cast<void>(model::Model(folder, ops::WeightFormat::f32,
                                 std::make_shared<model::HeapStorage>(), ops::Arithmetic::f32,
                                 FileTexts({{folder / "config.json", std::string(input.text())}})));
}

void read_generation_config(const Input& input) {
  static eval::ModelFolder folder = eval::load_model_folder(source("data/demo/model"));
  folder.path = input.file("generation_config.json").parent_path();
  static_cast<void>(eval::stop_tokens(folder));
}

}  // namespace

std::vector<Target> model_targets() {
  return {{"model_config", true,
           [](const Input& input) {
             static_cast<void>(model::read_config(
                 "m/config.json", FileTexts({{"m/config.json", std::string(input.text())}})));
           },
           configs},
          {"model", true, read_model,
           [] { return std::vector{read_text(golden("qwen2/model/config.json"))}; }},
          {"generation_config", true, read_generation_config, [] {
             return std::vector{read_text(source("data/demo/model/generation_config.json")),
                                std::string(R"({"eos_token_id":[2,3],"max_length":20})")};
           }}};
}

}  // namespace d2c::fuzz
