#include <iostream>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/text/tokenizer.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

struct TokenizeArguments {
  std::filesystem::path tokenizer;
  bool special = false;
};

std::vector<Option<TokenizeArguments>> tokenize_options() {
  using A = TokenizeArguments;
  return {
      {"tokenizer", option::path(&A::tokenizer), "tokenizer.json, or the folder that holds it"},
      {"special", option::flag(&A::special),
       "add the special tokens of the tokenizer's post-processor (BOS)"},
  };
}

/// Ids of the text in one line of standard input.
std::vector<text::TokenId> ids_of(const text::Tokenizer& tokenizer, const std::string& text,
                                  std::int64_t line, bool special) {
  const std::filesystem::path input("standard input");
  if (const auto bad = text::first_invalid_utf8(text)) {
    throw InputError({input, {}, line}, {fmt::format("is not valid UTF-8 at byte {}", *bad + 1), "",
                                         "give the text as UTF-8"});
  }
  const json::Json value = json::parse(text, input, line);
  if (!value.is_object() || !value.contains("text") || !value["text"].is_string()) {
    throw InputError({input, "text", line}, {"is missing", "each line is one text to encode",
                                             "write {\"text\": \"...\"}"});
  }
  return tokenizer.encode(value["text"].get<std::string>(), special);
}

}  // namespace

int tokenize_command(const Invocation& invocation) {
  TokenizeArguments arguments;
  CommandLine line{
      .usage = "d2c tokenize --tokenizer FILE-OR-DIR < TEXTS.jsonl",
      .description = "Reads JSON lines {\"text\"} from standard input and writes {\"ids\"} lines.",
      .required = {"tokenizer"}};
  line.add("Options", tokenize_options(), arguments);
  if (!parse(line, invocation)) return 0;
  const auto tokenizer = text::Tokenizer::load(arguments.tokenizer);
  for (const std::string& warning : tokenizer.warnings()) {
    fmt::print(stderr, "warning: {}\n", readable(warning));
  }
  std::int64_t number = 0;
  for (std::string text; std::getline(std::cin, text);) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    json::OrderedJson ids;
    ids["ids"] = ids_of(tokenizer, text, number, arguments.special);
    fmt::print("{}\n", ids.dump());
  }
  return 0;
}

}  // namespace d2c::cli
