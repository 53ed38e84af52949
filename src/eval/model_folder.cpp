#include "d2c/eval/model_folder.hpp"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/chat.hpp"

namespace d2c::eval {

namespace fs = std::filesystem;

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
  if (result.tokenizer) result.eos = result.tokenizer->eos();
  if (!result.eos) result.eos = result.model.config().eos_token_id;
  return result;
}

TextEncoding ModelFolder::encoding(const std::string& chat_date) const {
  return {tokenizer.has_value() ? &*tokenizer : nullptr, eos,
          std::make_shared<text::ChatTemplate>(path, texts, chat_date),
          fs::exists(path / "tokenizer.model")};
}

eval::TokenLimits ModelFolder::limits() const {
  return {static_cast<std::int32_t>(model.config().vocab_size), model.config().max_positions};
}

std::vector<std::int32_t> stop_tokens(const ModelFolder& folder) {
  std::vector<std::int32_t> stops;
  if (folder.eos) stops.push_back(*folder.eos);
  const fs::path file = folder.path / "generation_config.json";
  if (!is_present(file)) return stops;
  const json::Json config = json::read_file(file);
  if (!config.is_object()) {
    throw InputError({file, {}}, {"is not a JSON object", "it names the tokens that end an answer",
                                  "use the model's own file, or remove it"});
  }
  json::Json listed = config.value("eos_token_id", json::Json());
  if (listed.is_null()) return stops;
  if (!listed.is_array()) listed = json::Json::array({listed});
  for (const json::Json& entry : listed) {
    const auto id = json::integer(entry);
    if (!id || *id < 0 || *id >= folder.limits().vocabulary) {
      throw InputError({file, "eos_token_id"},
                       {fmt::format("is {}, which is no token of the model", entry.dump()),
                        "it ends what the model writes", "give a token id, or a list of them"});
    }
    stops.push_back(static_cast<std::int32_t>(*id));
  }
  return stops;
}

ModelFolder load_model_folder(const fs::path& folder, model::Precision precision) {
  model::check_processor(precision.compute);
  check_model_folder(folder);
  return with_tokenizer(model::Model(folder, model::weight_format(folder, precision),
                                     std::make_shared<model::HeapStorage>(), precision.compute),
                        folder);
}

std::vector<std::string> ModelFolder::warnings() const {
  std::vector<std::string> lines;
  if (tokenizer) lines = tokenizer->warnings();
  const double rounding = model.weights().largest_rounding;
  if (rounding == 0.0) return lines;
  lines.push_back(fmt::format(
      "the base model's weights were rounded to BF16 (largest relative change {:.2g}): losses are "
      "those of the rounded model; --weights f32 keeps them",
      rounding));
  return lines;
}

}  // namespace d2c::eval
