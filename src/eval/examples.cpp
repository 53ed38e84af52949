#include "d2c/eval/examples.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/chat.hpp"

namespace d2c::eval {
namespace {

using json::Json;

/// Reads the lines of one file; its members say where, for messages.
class LineReader {
 public:
  LineReader(const std::filesystem::path& file, const TextEncoding& encoding,
             const TokenLimits& limits)
      : file_(file), encoding_(encoding), limits_(limits) {}

  void read(std::string_view text, std::int64_t line, ExampleFile& out) {
    line_ = line;
    if (const auto bad = text::first_invalid_utf8(text)) {
      fail("", fmt::format("is not valid UTF-8 at byte {} of the line", *bad + 1),
           "the text cannot be tokenised", "save the file as UTF-8");
    }
    const Json value = json::parse(text, file_, line);
    if (!value.is_object()) fail("", "is not a JSON object", "each line is one example", kForms);

    const bool has_ids = value.contains("input_ids");
    const bool has_text = value.contains("prompt") || value.contains("response");
    const bool has_chat = value.contains("messages");
    if (!has_ids && !has_text && !has_chat) fail("", "holds no example", "", kForms);
    report_unknown_field(value, out);

    if (!has_ids) {
      out.examples.push_back(checked(has_text ? from_text(value) : from_chat(value)));
      return;
    }
    out.examples.push_back(checked(from_ids(value)));
    if (encoding_.tokenizer == nullptr) return;
    const Example& used = out.examples.back();
    if (has_text ? from_text(value) == used : !has_chat || chat_agrees(value, used)) return;
    out.warnings.push_back(
        fmt::format("{}:{}: input_ids differ from what the tokenizer makes of the {} (the ids are "
                    "used); remove one of them if that is not meant",
                    file_.string(), line_, has_text ? "text" : "messages"));
  }

 private:
  static constexpr const char* kForms =
      "write {\"prompt\", \"response\"}, {\"messages\"} or {\"input_ids\", \"prompt_len\"}";

  /// Messages that cannot be turned into ids say nothing about them.
  [[nodiscard]] bool chat_agrees(const Json& value, const Example& used) {
    try {
      return from_chat(value) == used;
    } catch (const Error&) {
      return true;
    }
  }

  /// One line of the file stands for all.
  void report_unknown_field(const Json& value, ExampleFile& out) {
    static constexpr std::array<std::string_view, 5> known{"prompt", "response", "messages",
                                                           "input_ids", "prompt_len"};
    if (reported_unknown_) return;
    for (const auto& [key, content] : value.items()) {
      if (std::ranges::find(known, key) != known.end()) continue;
      reported_unknown_ = true;
      out.warnings.push_back(fmt::format(
          "{}:{}: has the field '{}', which no example has (it is ignored, in every line); remove "
          "it, or correct its name",
          file_.string(), line_, key));
      return;
    }
  }

  [[noreturn]] void fail(std::string item, std::string what, std::string why,
                         std::string fix) const {
    throw InputError({file_, std::move(item), line_},
                     {std::move(what), std::move(why), std::move(fix)});
  }

  [[nodiscard]] std::string text_field(const Json& value, const char* field) const {
    if (!value.contains(field)) fail(field, "is missing", "an example needs both parts", kForms);
    if (!value[field].is_string()) fail(field, "is not a text", "", "write a JSON string");
    return value[field].get<std::string>();
  }

  [[nodiscard]] const text::Tokenizer& need_tokenizer() const {
    if (encoding_.tokenizer == nullptr) {
      fail("", "is text, but the model folder has no tokenizer.json",
           "text must be turned into token ids",
           "add the model's tokenizer.json or give input_ids and prompt_len");
    }
    return *encoding_.tokenizer;
  }

  [[nodiscard]] Example join(std::string_view prompt, std::string_view response,
                             bool special_tokens) const {
    const text::Tokenizer& tokenizer = need_tokenizer();
    Example example;
    example.ids = tokenizer.encode(prompt, special_tokens);
    example.prompt_len = std::ssize(example.ids);
    const auto answer = tokenizer.encode(response, /*special_tokens=*/false);
    example.ids.insert(example.ids.end(), answer.begin(), answer.end());
    return example;
  }

  [[nodiscard]] Example from_text(const Json& value) const {
    const std::string prompt = text_field(value, "prompt");
    const std::string response = text_field(value, "response");
    if (response.empty()) fail("response", "is empty", "there is no token to score", "fill it in");
    Example example = join(prompt, response, /*special_tokens=*/true);
    if (!encoding_.eos.has_value()) {
      fail("", "is text, but the model names no end-of-sequence token", "a response ends with it",
           "set eos_token_id in config.json or give input_ids");
    }
    example.ids.push_back(*encoding_.eos);
    return example;
  }

  [[nodiscard]] Example from_chat(const Json& value) {
    static_cast<void>(need_tokenizer());
    if (!chat_.has_value()) {
      const FileTexts from_disk;
      chat_ = text::ChatTemplate::load(encoding_.chat_folder,
                                       encoding_.texts != nullptr ? *encoding_.texts : from_disk);
    }
    try {
      const auto chat = chat_->split_last_answer(value["messages"]);
      return join(chat.prompt, chat.response, /*special_tokens=*/false);
    } catch (const InputError& error) {
      throw InputError({file_, "messages", line_}, error.message());
    }
  }

  [[nodiscard]] Example from_ids(const Json& value) const {
    const Json& ids = value["input_ids"];
    if (!ids.is_array()) fail("input_ids", "is not a list", "", "write a list of token ids");
    Example example;
    for (const Json& id : ids) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() >= limits_.vocabulary) {
        fail("input_ids",
             fmt::format("entry {} is {}, not an id below the model's vocabulary size {}",
                         example.ids.size(), id.dump(), limits_.vocabulary),
             "the model has no embedding for it", "tokenise with this model's tokenizer");
      }
      example.ids.push_back(id.get<std::int32_t>());
    }
    if (!value.contains("prompt_len") || !value["prompt_len"].is_number_integer()) {
      fail("prompt_len", "is missing or not a whole number", "it says where the response begins",
           "give the number of prompt tokens, BOS included");
    }
    example.prompt_len = value["prompt_len"].get<Index>();
    return example;
  }

  [[nodiscard]] Example checked(Example example) const {
    const auto length = std::ssize(example.ids);
    if (example.prompt_len < 1) {
      fail("", "has no prompt token",
           "the first response token is predicted from the one before it",
           "begin with at least BOS or one prompt token");
    }
    if (example.prompt_len >= length) {
      fail("",
           fmt::format("has no response token ({} tokens, prompt_len {})", length,
                       example.prompt_len),
           "there is no token to score", "add a response");
    }
    if (length > limits_.max_positions) {
      fail("",
           fmt::format("has {} tokens, more than the model's {} positions", length,
                       limits_.max_positions),
           "the model was not made for longer text", "shorten the example");
    }
    for (const std::int32_t id : example.ids) {
      if (id >= limits_.vocabulary) {
        fail("",
             fmt::format("has token id {}, outside the model's vocabulary of {}", id,
                         limits_.vocabulary),
             "tokenizer and model do not belong together", "use the model's own tokenizer.json");
      }
    }
    return example;
  }

  const std::filesystem::path& file_;
  const TextEncoding& encoding_;
  const TokenLimits& limits_;
  std::optional<text::ChatTemplate> chat_;  ///< read when the first line needs it
  std::int64_t line_ = 0;
  bool reported_unknown_ = false;
};

}  // namespace

ExampleFile read_examples(const std::filesystem::path& file, const TextEncoding& encoding,
                          const TokenLimits& limits) {
  const std::string text = json::read_text(file);
  LineReader reader(file, encoding, limits);
  ExampleFile result;
  result.digest = Digest().update(text).value();
  std::int64_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view content = std::string_view(text).substr(begin, end - begin);
    ++line;
    begin = end + 1;
    if (content.find_first_not_of(" \t\r") != std::string_view::npos) {
      reader.read(content, line, result);
    }
  }
  if (result.examples.empty()) {
    throw InputError({file, {}}, {"holds no example", "the task's loss cannot be measured",
                                  "give at least one, about ten serve well"});
  }
  return result;
}

}  // namespace d2c::eval
