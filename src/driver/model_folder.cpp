#include "d2c/driver/model_folder.hpp"

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::driver {
namespace {

namespace fs = std::filesystem;

/// `eos_token` of tokenizer_config.json: a text, or an added token with `content`.
std::optional<std::int32_t> eos_of_tokenizer(const fs::path& folder,
                                             const tokenizer::Tokenizer& tokenizer) {
  const fs::path file = folder / "tokenizer_config.json";
  if (!fs::exists(file)) return std::nullopt;
  const json::Json config = json::read_file(file);
  if (!config.is_object() || !config.contains("eos_token")) return std::nullopt;
  const json::Json& token = config["eos_token"];
  if (token.is_string()) return tokenizer.id_of(token.get<std::string>());
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return tokenizer.id_of(token["content"].get<std::string>());
  }
  return std::nullopt;
}

std::optional<std::int32_t> eos_of_config(const fs::path& folder) {
  const json::Json config = json::read_file(folder / "config.json");
  if (!config.contains("eos_token_id")) return std::nullopt;
  const json::Json& id = config["eos_token_id"];
  if (id.is_number_integer()) return id.get<std::int32_t>();
  if (id.is_array() && !id.empty() && id[0].is_number_integer()) return id[0].get<std::int32_t>();
  return std::nullopt;
}

}  // namespace

eval::TokenLimits ModelFolder::limits() const {
  return {static_cast<std::int32_t>(model.config().vocab_size), model.config().max_positions};
}

std::optional<std::int32_t> end_of_sequence(const fs::path& folder,
                                            const std::optional<tokenizer::Tokenizer>& tokenizer) {
  if (tokenizer.has_value()) {
    if (const auto eos = eos_of_tokenizer(folder, *tokenizer)) return eos;
  }
  return eos_of_config(folder);
}

ModelFolder load_model_folder(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw InputError({folder, {}},
                     {"is not a folder", "the base model is read from a Hugging Face folder",
                      "give the folder with config.json and model.safetensors"});
  }
  ModelFolder result{model::Model(folder), std::nullopt, std::nullopt, folder};
  if (fs::exists(folder / "tokenizer.json")) {
    result.tokenizer.emplace(tokenizer::Tokenizer::load(folder));
  }
  result.eos = end_of_sequence(folder, result.tokenizer);
  return result;
}

}  // namespace d2c::driver
