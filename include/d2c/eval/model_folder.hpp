#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/core/file_texts.hpp"
#include "d2c/eval/examples.hpp"
#include "d2c/model/model.hpp"
#include "d2c/text/tokenizer.hpp"

namespace d2c::eval {

/// What a Hugging Face model folder gives to a job.
struct ModelFolder {
  model::Model model;
  std::optional<text::Tokenizer> tokenizer;  ///< unset: the folder has no tokenizer.json
  /// Ends a response: `eos_token` of tokenizer_config.json where the tokenizer knows it, else
  /// `eos_token_id` of config.json; unset: neither names one.
  std::optional<std::int32_t> eos;
  std::filesystem::path path;
  FileTexts texts = {};  ///< reads what is read later (chat templates)

  /// How text becomes ids; a new one has read no chat template yet.
  /// @param chat_date  see text::ChatTemplate
  [[nodiscard]] eval::TextEncoding encoding(const std::string& chat_date = {}) const;
  [[nodiscard]] eval::TokenLimits limits() const;
  /// What differs from the files as they are written: tokens numbered anew, rounded weights.
  [[nodiscard]] std::vector<std::string> warnings() const;
};

/// Tokens that end what the model writes: `eos_token_id` of generation_config.json, where there is
/// one, and what ends a response. Reads the file from the disk.
/// @throws InputError if it is not one token or a list
[[nodiscard]] std::vector<std::int32_t> stop_tokens(const ModelFolder& folder);

/// @throws InputError naming the file and what is wrong with it
/// @throws UsageError if the precision is not one for these files or this processor
[[nodiscard]] ModelFolder load_model_folder(const std::filesystem::path& folder,
                                            model::Precision precision = {});

/// @throws InputError unless `folder` is a folder
void check_model_folder(const std::filesystem::path& folder);

/// A model with the tokenizer of the folder that it is from, and what that says of ends.
/// @param texts  reads the tokenizer's files
/// @throws InputError
[[nodiscard]] ModelFolder with_tokenizer(model::Model model, const std::filesystem::path& folder,
                                         FileTexts texts = {});

}  // namespace d2c::eval
