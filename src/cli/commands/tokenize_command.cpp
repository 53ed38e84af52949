#include <iostream>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

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
  CommandLine line;
  line.usage = "d2c tokenize --tokenizer FILE-OR-DIR < TEXTS.jsonl";
  line.description = "Reads JSON lines {\"text\"} from standard input and writes {\"ids\"} lines.";
  po::options_description options("Options", kHelpWidth);
  // clang-format off
  options.add_options()
      ("tokenizer", po::value<std::string>()->required(), "tokenizer.json, or the folder that holds it")
      ("special", po::bool_switch(), "add the special tokens of the tokenizer's post-processor (BOS)")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(options);

  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    fmt::print("{}", line.help());
    return 0;
  }
  const auto tokenizer = text::Tokenizer::load(values["tokenizer"].as<std::string>());
  const bool special = values["special"].as<bool>();
  std::int64_t number = 0;
  for (std::string text; std::getline(std::cin, text);) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    json::OrderedJson ids;
    ids["ids"] = ids_of(tokenizer, text, number, special);
    fmt::print("{}\n", ids.dump());
  }
  return 0;
}

}  // namespace d2c::cli
