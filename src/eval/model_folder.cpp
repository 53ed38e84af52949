#include "d2c/eval/model_folder.hpp"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::eval {
namespace {

namespace fs = std::filesystem;

/// `eos_token` of tokenizer_config.json: a text, or an added token with `content`.
std::optional<std::int32_t> eos_of_tokenizer(const fs::path& folder,
                                             const text::Tokenizer& tokenizer,
                                             const FileTexts& texts) {
  const fs::path file = folder / "tokenizer_config.json";
  if (!texts.exists(file)) return std::nullopt;
  const json::Json config = json::parse(texts.read(file), file);
  if (!config.is_object() || !config.contains("eos_token")) return std::nullopt;
  const json::Json& token = config["eos_token"];
  if (token.is_string()) return tokenizer.id_of(token.get<std::string>());
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return tokenizer.id_of(token["content"].get<std::string>());
  }
  return std::nullopt;
}

}  // namespace

void check_model_folder(const fs::path& folder) {
  if (fs::is_directory(folder)) return;
  throw InputError({folder, {}},
                   {"is not a folder", "the base model is read from a Hugging Face folder",
                    "give the folder with config.json and model.safetensors"});
}

ModelFolder with_tokenizer(model::Model model, const fs::path& folder, FileTexts texts) {
  ModelFolder result{std::move(model), std::nullopt, std::nullopt, folder, std::move(texts)};
  const fs::path tokenizer = folder / "tokenizer.json";
  if (result.texts.exists(tokenizer)) {
    result.tokenizer.emplace(text::Tokenizer::load(tokenizer, result.texts));
    result.texts.forget(tokenizer);
  }
  if (result.tokenizer) result.eos = eos_of_tokenizer(folder, *result.tokenizer, result.texts);
  if (!result.eos) result.eos = result.model.config().eos_token_id;
  return result;
}

eval::TokenLimits ModelFolder::limits() const {
  return {static_cast<std::int32_t>(model.config().vocab_size), model.config().max_positions};
}

ModelFolder load_model_folder(const fs::path& folder, model::Precision precision) {
  model::check_processor(precision.compute);
  check_model_folder(folder);
  return with_tokenizer(model::Model(folder, model::weight_format(folder, precision),
                                     std::make_shared<model::HeapStorage>(), precision.compute),
                        folder);
}

std::string rounding_warning(const model::Model& model) {
  const double rounding = model.weights().largest_rounding;
  if (rounding == 0.0) return {};
  return fmt::format(
      "the base model's weights were rounded to BF16 (largest relative change {:.2g}): losses are "
      "those of the rounded model; --weights f32 keeps them",
      rounding);
}

}  // namespace d2c::eval
