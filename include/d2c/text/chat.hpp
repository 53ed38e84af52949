#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "d2c/core/file_texts.hpp"
#include "d2c/core/json.hpp"

namespace d2c::text {

/// A conversation as text, cut before its last message.
struct RenderedChat {
  std::string prompt;    ///< up to and including the header of the answer
  std::string response;  ///< the answer and what the template puts behind it (end of turn)
};

/// The chat template of a model, rendered as Hugging Face transformers does (Jinja with
/// trim_blocks and lstrip_blocks). The part of Jinja that published templates use is known; any
/// other construct is refused by name. The current date is not offered (`strftime_now` is
/// undefined): a loss must not depend on the day, and templates that ask for it name a default.
///
/// The text holds the special tokens of the model (BOS included, where the template writes it), so
/// it is encoded without special tokens.
class ChatTemplate {
 public:
  /// @param folder  model folder with chat_template.jinja or tokenizer_config.json
  /// @throws InputError if there is no template or it has a construct that is not supported
  static ChatTemplate load(const std::filesystem::path& folder, const FileTexts& texts = {});

  /// @param messages  array of {"role", "content"}; the order of keys matters only where a template
  ///                  prints a whole object as JSON (tool calls)
  /// @param add_generation_prompt  end with the header of an answer
  /// @throws InputError if the template refuses the conversation
  [[nodiscard]] std::string render(const json::OrderedJson& messages,
                                   bool add_generation_prompt) const;

  /// Renders the whole conversation and, as the prompt, all but its last message.
  /// @throws InputError if `messages` is not a conversation that ends with an assistant's message,
  ///         or if the prompt is not the beginning of the whole
  [[nodiscard]] RenderedChat split_last_answer(const json::OrderedJson& messages) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace d2c::text
