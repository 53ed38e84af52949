#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "d2c/core/file_texts.hpp"

namespace d2c::text {

/// A conversation as text, cut before its last message.
struct RenderedChat {
  std::string prompt;    ///< up to and including the header of the answer
  std::string response;  ///< the answer and what the template puts behind it (end of turn)
};

/// What one rendering may take; a template is a program that somebody else wrote.
struct ChatLimits {
  double seconds = 8;
  std::size_t memory_bytes = std::size_t{1} << 30;
  std::size_t characters = 16'000'000;
};

/// The chat template of a model, rendered by Jinja2 in the environment that Hugging Face
/// transformers makes: the special tokens of the tokenizer, `tools`, `documents` and every other
/// field of a row are its variables. Jinja2 runs in a Python process (D2C_PYTHON, /usr/bin/python3
/// or python3) under limits, which is started for the first conversation and serves all later ones.
///
/// The text holds the special tokens of the model (BOS included, where the template writes it), so
/// it is encoded without special tokens.
///
/// One thread at a time.
class ChatTemplate {
 public:
  /// Reads and starts nothing before the first conversation.
  /// @param folder  model folder with chat_template.jinja or tokenizer_config.json
  /// @param date    YYYY-MM-DD, what templates are told when they ask for today's date; empty: such
  ///                a template is refused, since losses must not depend on the day
  /// @param texts   reads the files
  explicit ChatTemplate(std::filesystem::path folder, FileTexts texts = {}, std::string date = {},
                        const ChatLimits& limits = {});
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  /// @param row  a JSON object on one line, already known to be valid: {"messages": [{"role",
  ///             "content"}], ...}. Null fields count as absent.
  /// @param add_generation_prompt  end with the header of an answer
  /// @throws InputError if there is no template, no Jinja2, or the template refuses the
  ///         conversation
  [[nodiscard]] std::string render(std::string_view row, bool add_generation_prompt);

  /// Renders the whole conversation and, as the prompt, all but its last message.
  /// @throws InputError as `render`; if the messages do not end with an assistant's message, or if
  ///         the prompt is not the beginning of the whole
  [[nodiscard]] RenderedChat split_last_answer(std::string_view row);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::text
