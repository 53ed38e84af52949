#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

#include "test_support.hpp"

namespace d2c::text {
namespace {

std::vector<json::Json> read_lines(const std::filesystem::path& file) {
  std::vector<json::Json> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line, file));
  return lines;
}

using Ids = std::vector<TokenId>;

void append(Ids& ids, const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); }

TEST(TokenizerReference, Fv40ExamplesArePrefixPromptResponseAndEos) {
  const auto root = test::shared("real/fv40");
  D2C_SKIP_WITHOUT(root);
  const Tokenizer tokenizer = Tokenizer::load(root / "model");
  std::size_t examples = 0;
  for (const auto* folder : {"examples", "test"}) {
    for (const auto& file : std::filesystem::directory_iterator(root / folder)) {
      for (const json::Json& line : read_lines(file.path())) {
        Ids ids = tokenizer.prefix();
        append(ids, tokenizer.encode(line["prompt"].get<std::string>(), false));
        EXPECT_EQ(ids.size(), line["prompt_len"].get<std::size_t>()) << file.path() << line;
        append(ids, tokenizer.encode(line["response"].get<std::string>(), false));
        ids.push_back(2);
        EXPECT_EQ(ids, line["input_ids"].get<Ids>()) << file.path() << line;
        ++examples;
      }
    }
  }
  EXPECT_EQ(examples, 40U * 50U);
}

/// Published test vectors: text and ids, without special tokens.
class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, AgreeIdForIdAndDecodeToTheirText) {
  const auto folder = test::shared("real/tokenizers") / GetParam();
  D2C_SKIP_WITHOUT(folder);
  const Tokenizer tokenizer = Tokenizer::load(folder);
  std::size_t vectors = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".jsonl") continue;
    for (const json::Json& line : read_lines(file.path())) {
      const auto text = line["text"].get<std::string>();
      const auto ids = line["ids"].get<Ids>();
      EXPECT_EQ(tokenizer.encode(text, false), ids) << file.path() << line;
      EXPECT_EQ(tokenizer.decode(ids, false), text) << file.path() << line;
      ++vectors;
    }
  }
  EXPECT_GT(vectors, 40U);
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerVectors,
                         testing::Values("gpt-2", "starcoder", "refact", "qwen2"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace d2c::text
