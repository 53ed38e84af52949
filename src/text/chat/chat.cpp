#include "d2c/text/chat.hpp"

#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "chat/jinja_template.hpp"
#include "tokenizer/field.hpp"

namespace d2c::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFix = "give prompt and response, or input_ids, instead of messages";

/// The tokens that a template can name: bos_token and the like, as text.
std::map<std::string, jinja::Value> special_tokens(const json::Json& config, const fs::path& file) {
  std::map<std::string, jinja::Value> tokens;
  for (const auto* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const auto token = Field(config, file, "").find(name);
    if (!token) continue;
    tokens[name] = (token->value().is_object() ? token->at("content") : *token).string();
  }
  return tokens;
}

/// A template, or several of which "default" is for chats.
std::string template_text(const Field& field) {
  if (!field.value().is_array()) return field.string();
  for (const Field& named : field.items()) {
    if (named.at("name").string() == "default") return named.at("template").string();
  }
  field.fail({"has no template named 'default'", "", kFix});
}

struct Source {
  fs::path file;
  std::string text;
};

Source find_source(const fs::path& folder, const FileTexts& texts, const json::Json& config,
                   const fs::path& config_file) {
  const fs::path own_file = folder / "chat_template.jinja";
  if (texts.exists(own_file)) return {own_file, texts.read(own_file)};
  if (const auto field = Field(config, config_file, "").find("chat_template")) {
    return {config_file, template_text(*field)};
  }
  throw InputError({config_file, "chat_template"},
                   {"the model has no chat template", "messages cannot be made into text", kFix});
}

/// Calls `work`; what the template refuses becomes an InputError.
template <class Work>
auto reported(const fs::path& file, const Work& work) {
  try {
    return work();
  } catch (const jinja::Error& error) {
    throw InputError({file, "chat_template"},
                     {error.what(), "the conversation cannot be rendered", kFix});
  }
}

void check(const json::OrderedJson& messages) {
  const auto fail = [](const std::string& what) {
    throw InputError({{}, "messages"},
                     {what, "", R"(give [{"role": "user", "content": "..."}, ...])"});
  };
  if (!messages.is_array() || messages.empty()) fail("must be an array that is not empty");
  for (const auto& message : messages) {
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      fail("every message must be an object with a role");
    }
  }
}

}  // namespace

struct ChatTemplate::Impl {
  fs::path file;
  jinja::Template program;
  std::map<std::string, jinja::Value> tokens;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

ChatTemplate ChatTemplate::load(const fs::path& folder, const FileTexts& texts) {
  const fs::path config_file = folder / "tokenizer_config.json";
  if (!texts.exists(config_file)) {
    throw InputError({config_file, {}},
                     {"is missing", "messages are rendered by the chat template it holds",
                      "add the model's file, or give prompt and response or input_ids"});
  }
  const json::Json config = json::parse(texts.read(config_file), config_file);
  Source source = find_source(folder, texts, config, config_file);
  jinja::Template program = reported(source.file, [&] { return jinja::Template(source.text); });
  return ChatTemplate(std::make_shared<const Impl>(
      Impl{std::move(source.file), std::move(program), special_tokens(config, config_file)}));
}

std::string ChatTemplate::render(const json::OrderedJson& messages,
                                 bool add_generation_prompt) const {
  check(messages);
  auto variables = impl_->tokens;
  variables["messages"] = messages;
  variables["add_generation_prompt"] = add_generation_prompt;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  return reported(impl_->file, [&] { return impl_->program.render(std::move(variables)); });
}

RenderedChat ChatTemplate::split_last_answer(const json::OrderedJson& messages) const {
  check(messages);
  if (messages.size() < 2 || messages.back()["role"] != "assistant") {
    throw InputError({{}, "messages"}, {"must end with a message of the assistant",
                                        "that message is the response that is scored",
                                        "end with the answer, or give prompt and response"});
  }
  json::OrderedJson question = messages;
  question.erase(question.size() - 1);
  std::string prompt = render(question, true);
  const std::string whole = render(messages, false);
  if (!whole.starts_with(prompt)) {
    throw InputError(
        {impl_->file, "chat_template"},
        {"the prompt with its generation prompt is not the beginning of the whole chat",
         "prompt and response cannot be told apart", kFix});
  }
  return {prompt, whole.substr(prompt.size())};
}

}  // namespace d2c::text
