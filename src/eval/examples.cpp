#include "d2c/eval/examples.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/chat.hpp"

namespace d2c::eval {
namespace {

using json::Json;

constexpr std::array fields =
    std::to_array<std::string_view>({"prompt", "response", "messages", "input_ids", "prompt_len"});

/// Whether the line has the field; null counts as absent.
bool holds(const Json& line, const char* field) {
  const auto member = line.find(field);
  return member != line.end() && !member->is_null();
}

/// Reads the lines of one file; its members say where, for messages.
class LineReader {
 public:
  LineReader(const std::filesystem::path& file, const TextEncoding& encoding,
             const TokenLimits& limits)
      : file_(file), encoding_(encoding), limits_(limits) {}

  void read(std::string_view text, std::int64_t line) {
    line_ = line;
    text_ = text;
    try {
      read();
    } catch (const InputError& error) {
      if (!error.where().file.empty()) throw;
      throw InputError({file_, error.where().item, line_}, error.message());
    }
  }

  [[nodiscard]] ExampleFile finish() {
    const auto count = [&](std::int64_t lines, const char* what) {
      if (lines == 0) return;
      result_.warnings.push_back(fmt::format("{}: {} of {} lines {} of their own (none is added)",
                                             file_.string(), lines, result_.examples.size(), what));
    };
    count(own_bos_, "begin their prompt with a beginning-of-sequence token");
    count(own_eos_, "end their response with an end-of-sequence token");
    return std::move(result_);
  }

 private:
  void read() {
    if (const auto bad = text::first_invalid_utf8(text_)) {
      fail("", fmt::format("is not valid UTF-8 at byte {} of the line", *bad + 1),
           "the text cannot be tokenised", "save the file as UTF-8");
    }
    const Json value = json::parse(text_, file_, line_);
    if (!value.is_object()) fail("", "is not a JSON object", "each line is one example", forms);
    check_fields(value);
    if (holds(value, "input_ids")) {
      result_.examples.push_back(checked(from_ids(value)));
      compare_with_text(value);
    } else {
      result_.examples.push_back(checked(has_text(value) ? from_text(value) : from_chat()));
    }
    ExampleText& texts = result_.texts.emplace_back();
    for (const auto& [field, place] :
         {std::pair{"prompt", &texts.prompt}, std::pair{"response", &texts.response}}) {
      if (holds(value, field) && value[field].is_string()) *place = value[field].get<std::string>();
    }
  }

  static constexpr const char* forms =
      "write {\"prompt\", \"response\"}, {\"messages\"} or {\"input_ids\", \"prompt_len\"}";

  [[noreturn]] void fail(std::string item, std::string what, std::string why,
                         std::string fix) const {
    throw InputError({file_, std::move(item), line_},
                     {std::move(what), std::move(why), std::move(fix)});
  }

  void warn(const std::string& what) {
    result_.warnings.push_back(fmt::format("{}:{}: {}", file_.string(), line_, what));
  }

  static bool has_text(const Json& value) {
    return holds(value, "prompt") || holds(value, "response");
  }

  /// A chat template sees every field. Elsewhere other fields are ignored, and one line of the file
  /// that has some stands for all.
  void check_fields(const Json& value) {
    if (!holds(value, "input_ids") && !has_text(value) && !holds(value, "messages")) {
      fail("", "holds no example", "", forms);
    }
    if (has_text(value) && holds(value, "messages") && !holds(value, "input_ids") &&
        !std::exchange(told_of_both_, true)) {
      warn("has texts and messages (the texts are used, in every such line); remove one of them");
    }
    if ((holds(value, "messages") && !has_text(value)) || told_of_field_) return;
    for (const auto& [field, content] : value.items()) {
      if (content.is_null() || std::ranges::find(fields, field) != fields.end()) continue;
      told_of_field_ = true;
      warn(
          fmt::format("has the field '{}', which no example has (it is ignored, in every line); "
                      "remove it, or correct its name",
                      field));
      return;
    }
  }

  [[nodiscard]] std::string text_field(const Json& value, const char* field) const {
    if (!holds(value, field)) fail(field, "is missing", "an example needs both parts", forms);
    if (!value[field].is_string()) fail(field, "is not a text", "", "write a JSON string");
    return value[field].get<std::string>();
  }

  [[nodiscard]] const text::Tokenizer& need_tokenizer() const {
    if (encoding_.tokenizer == nullptr && encoding_.has_sentencepiece) {
      fail("", "is text, but the model folder has tokenizer.model without tokenizer.json",
           "SentencePiece's own format is not read",
           "make tokenizer.json of it once with transformers: "
           "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)");
    }
    if (encoding_.tokenizer == nullptr) {
      fail("", "is text, but the model folder has no tokenizer.json",
           "text must be turned into token ids",
           "add the model's tokenizer.json or give input_ids and prompt_len");
    }
    return *encoding_.tokenizer;
  }

  /// The two texts as they are: no BOS, no EOS.
  [[nodiscard]] Example join(std::string_view prompt, std::string_view response) const {
    const text::Tokenizer& tokenizer = need_tokenizer();
    Example example;
    example.ids = tokenizer.encode(prompt, /*special_tokens=*/false);
    example.prompt_len = std::ssize(example.ids);
    const auto answer = tokenizer.encode(response, /*special_tokens=*/false);
    example.ids.insert(example.ids.end(), answer.begin(), answer.end());
    return example;
  }

  [[nodiscard]] Example from_text(const Json& value) {
    const std::string prompt = text_field(value, "prompt");
    const std::string response = text_field(value, "response");
    if (response.empty()) fail("response", "is empty", "there is no token to score", "fill it in");
    Example example = join(prompt, response);
    if (!encoding_.eos.has_value()) {
      fail("", "is text, but the model names no end-of-sequence token", "a response ends with it",
           "set eos_token_id in config.json or give input_ids");
    }
    const auto& prefix = need_tokenizer().prefix();
    const std::span whole(example.ids);
    const std::span own = whole.first(static_cast<std::size_t>(example.prompt_len));
    const bool has_prefix =
        own.size() >= prefix.size() && std::ranges::equal(own.first(prefix.size()), prefix);
    if (!has_prefix) {
      example.ids.insert(example.ids.begin(), prefix.begin(), prefix.end());
      example.prompt_len += std::ssize(prefix);
    } else if (!prefix.empty()) {
      ++own_bos_;
    }
    if (std::ssize(example.ids) > example.prompt_len && example.ids.back() == *encoding_.eos) {
      ++own_eos_;
    } else {
      example.ids.push_back(*encoding_.eos);
    }
    return example;
  }

  [[nodiscard]] Example from_chat() const {
    static_cast<void>(need_tokenizer());
    try {
      D2C_EXPECTS(encoding_.chat != nullptr);
      const auto chat = encoding_.chat->split_last_answer(text_);
      return join(chat.prompt, chat.response);
    } catch (const InputError& error) {
      throw InputError({file_, "messages", line_}, error.message());
    }
  }

  /// Where a line has ids and what they were made of, the two should agree.
  void compare_with_text(const Json& value) {
    const bool text = has_text(value);
    if (encoding_.tokenizer == nullptr || (!text && !holds(value, "messages"))) return;
    if (text && !encoding_.eos) return;  // nobody knows how the response ends
    try {
      const Example made = text ? from_text(value) : from_chat();
      if (made == result_.examples.back()) return;
      warn(fmt::format(
          "input_ids differ from what the tokenizer makes of the {} (the ids are used); "
          "remove one of them if that is not meant",
          text ? "text" : "messages"));
    } catch (const Error& error) {
      if (text) throw;
      if (!std::exchange(told_of_chat_, true)) {
        warn("input_ids are used unchecked: messages: " + error.message().line());
      }
    }
  }

  [[nodiscard]] std::string written(const std::string& place) const {
    return json::number_as_written(text_, Json::json_pointer(place));
  }

  [[nodiscard]] Example from_ids(const Json& value) const {
    const Json& ids = value["input_ids"];
    if (!ids.is_array()) fail("input_ids", "is not a list", "", "write a list of token ids");
    Example example;
    for (const Json& entry : ids) {
      const auto id = json::integer(entry);
      if (!id || *id < 0 || *id >= limits_.vocabulary) {
        const std::size_t index = example.ids.size();
        fail("input_ids",
             fmt::format(
                 "entry {} is {}, not an id below the model's vocabulary size {}", index,
                 entry.is_number() ? written(fmt::format("/input_ids/{}", index)) : entry.dump(),
                 limits_.vocabulary),
             "the model has no embedding for it", "tokenise with this model's tokenizer");
      }
      example.ids.push_back(static_cast<std::int32_t>(*id));
    }
    constexpr const char* why_it_matters = "it says where the response begins";
    constexpr const char* what_to_give = "give the number of prompt tokens, BOS included";
    if (!holds(value, "prompt_len")) fail("prompt_len", "is missing", why_it_matters, what_to_give);
    const auto length = json::integer(value["prompt_len"]);
    if (!length) {
      const bool is_number = value["prompt_len"].is_number();
      fail("prompt_len",
           fmt::format("is {}, which is {}",
                       is_number ? written("/prompt_len") : value["prompt_len"].dump(),
                       value["prompt_len"].is_number_unsigned() ? "too large"
                                                                : "not a whole number in range"),
           why_it_matters, what_to_give);
    }
    example.prompt_len = *length;
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
  ExampleFile result_;
  std::string_view text_;  ///< of the line
  std::int64_t line_ = 0;
  std::int64_t own_bos_ = 0;    ///< lines whose prompt begins with a BOS of its own
  std::int64_t own_eos_ = 0;    ///< lines whose response ends with an EOS of its own
  bool told_of_field_ = false;  ///< that fields are ignored
  bool told_of_both_ = false;   ///< that messages are ignored
  bool told_of_chat_ = false;   ///< that messages could not be compared with ids
};

}  // namespace

ExampleFile read_examples(const std::filesystem::path& file, const TextEncoding& encoding,
                          const TokenLimits& limits) {
  const std::string content = json::read_text(file);
  std::string_view rest = content;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);  // a byte order mark
  LineReader reader(file, encoding, limits);
  for (std::int64_t line = 1; !rest.empty(); ++line) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (text.find_first_not_of(" \t\r") != std::string_view::npos) reader.read(text, line);
  }
  ExampleFile result = reader.finish();
  result.digest = Digest().update(content).value();
  if (result.examples.empty()) {
    throw InputError({file, {}}, {"holds no example", "the task's loss cannot be measured",
                                  "give at least one, about ten serve well"});
  }
  return result;
}

}  // namespace d2c::eval
