#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "d2c/core/file_texts.hpp"
#include "d2c/tensor/matrix.hpp"
#include "d2c/text/tokenizer.hpp"

namespace d2c::text {
class ChatTemplate;
}

namespace d2c::eval {

/// One tokenised example: ids[0, prompt_len) is the prompt (BOS included), the rest the response
/// (EOS included).
struct Example {
  std::vector<std::int32_t> ids;
  Index prompt_len = 0;
  [[nodiscard]] bool operator==(const Example&) const = default;
};

/// What turns text into the ids that the model was trained on.
struct TextEncoding {
  const text::Tokenizer* tokenizer = nullptr;  ///< null: only lines with input_ids can be read
  std::optional<std::int32_t> eos;             ///< ends every response
  std::shared_ptr<text::ChatTemplate> chat;    ///< null: no lines with messages can be read
  bool has_sentencepiece = false;              ///< the folder has a tokenizer.model
};

/// The limits that a model sets to its input.
struct TokenLimits {
  std::int32_t vocabulary = 0;
  Index max_positions = 0;
};

/// The texts of an example where its line has them; else empty.
struct ExampleText {
  std::string prompt;
  std::string response;
};

/// The examples of one file.
struct ExampleFile {
  std::vector<Example> examples;
  std::vector<ExampleText> texts;  ///< [examples]
  /// A message for each line whose text or messages and input_ids disagree (the ids were used), one
  /// for fields that are ignored, and one that counts the lines with a BOS or EOS of their own.
  std::vector<std::string> warnings;
  std::uint64_t digest = 0;  ///< of the bytes of the file
};

/// Reads a JSONL file of `{"prompt", "response"}`, `{"messages"}` or `{"input_ids", "prompt_len"}`
/// lines; blank lines are skipped, null fields count as absent. Prompt and response are encoded
/// apart and joined: BOS (where the tokenizer adds it) + prompt, response, EOS; a BOS or EOS that
/// the text itself has there is not added again. Messages go through the model's chat template,
/// which writes its own special tokens and sees every other field of the line; the last message, by
/// the assistant, is the response. Where a line holds both text or messages and ids, the ids win,
/// and a difference is reported. Other fields are ignored where there are no messages; the first
/// line that has one is reported.
/// @throws InputError naming file and line: invalid JSON or UTF-8, missing fields, ids outside the
/// vocabulary, an empty prompt or response, a sequence longer than the model's positions, a file
/// without examples
[[nodiscard]] ExampleFile read_examples(const std::filesystem::path& file,
                                        const TextEncoding& encoding, const TokenLimits& limits);

}  // namespace d2c::eval
