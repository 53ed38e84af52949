#include "d2c/text/chat.hpp"

#include <optional>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "chat/renderer.hpp"
#include "tokenizer/tokenizer_config.hpp"

namespace d2c::text {
namespace {

/// @throws InputError unless `messages` is a conversation
void check(const json::Json& messages) {
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

class ChatTemplate::Impl {
 public:
  Impl(std::filesystem::path folder, FileTexts texts, std::string date, const ChatLimits& limits)
      : folder_(std::move(folder)),
        texts_(std::move(texts)),
        date_(std::move(date)),
        limits_(limits) {}

  [[nodiscard]] Renderer& renderer() {
    if (!renderer_ || !renderer_->is_of_use()) start();
    return *renderer_;
  }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

 private:
  void start() {
    TokenizerConfig config = read_tokenizer_config(folder_, texts_);
    file_ = config.chat_file;
    if (config.chat_templates.empty()) {
      throw InputError(
          {file_, "chat_template"},
          {"the model has no chat template", "messages cannot be made into text",
           std::string("add the model's chat_template.jinja, or ") + give_text_instead});
    }
    renderer_.emplace(file_, config.chat_templates, config.special_tokens, date_, limits_);
  }

  std::filesystem::path folder_;
  FileTexts texts_;
  std::filesystem::path file_;  ///< of the template
  std::string date_;
  ChatLimits limits_;
  std::optional<Renderer> renderer_;
};

ChatTemplate::ChatTemplate(std::filesystem::path folder, FileTexts texts, std::string date,
                           const ChatLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(folder), std::move(texts), std::move(date), limits)) {}
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(std::string_view row, bool add_generation_prompt) {
  check(json::Json::parse(row)["messages"]);
  return impl_->renderer().render(row, /*without_answer=*/false, add_generation_prompt);
}

RenderedChat ChatTemplate::split_last_answer(std::string_view row) {
  const json::Json messages = json::Json::parse(row)["messages"];
  check(messages);
  if (messages.size() < 2 || messages.back()["role"] != "assistant") {
    throw InputError({{}, "messages"}, {"must end with a message of the assistant",
                                        "that message is the response that is scored",
                                        "end with the answer, or give prompt and response"});
  }
  std::string prompt = impl_->renderer().render(row, true, true);
  const std::string whole = impl_->renderer().render(row, false, false);
  if (!whole.starts_with(prompt)) {
    throw InputError(
        {impl_->file(), "chat_template"},
        {"the prompt with its generation prompt is not the beginning of the whole chat",
         "prompt and response cannot be told apart", give_text_instead});
  }
  std::string response = whole.substr(prompt.size());
  return {std::move(prompt), std::move(response)};
}

}  // namespace d2c::text
