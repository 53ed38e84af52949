#include "d2c/eval/examples.hpp"

#include <memory>

#include "d2c/core/error.hpp"
#include "d2c/text/chat.hpp"

#include "test_support.hpp"

namespace d2c::eval {
namespace {

constexpr TokenLimits limits{.vocabulary = 100, .max_positions = 8};

/// A tokenizer of single characters, ids 1 (BOS) and up.
text::Tokenizer letter_tokenizer(const test::TempFolder& folder) {
  test::write_file(folder / "tokenizer.json", R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false,
                      "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": null, "decoder": null,
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
              "vocab": {"<s>": 1, "a": 2, "b": 3, "c": 4}, "merges": []}})");
  return text::Tokenizer::load(folder / "tokenizer.json");
}

ExampleFile read(const test::TempFolder& folder, std::string_view text,
                 const TextEncoding& encoding = {}) {
  test::write_file(folder / "x.jsonl", text);
  return read_examples(folder / "x.jsonl", encoding, limits);
}

TEST(ReadExamples, TakesIdsAsTheyAre) {
  const test::TempFolder folder;
  const auto file = read(folder, "{\"input_ids\": [5, 6, 7], \"prompt_len\": 2}\r\n\n");
  EXPECT_EQ(file.examples, (std::vector<Example>{{{5, 6, 7}, 2}}));
}

TEST(ReadExamples, JoinsBosPromptResponseAndEos) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file = read(folder, R"({"prompt": "ab", "response": "c"})", {&tokenizer, 9, {}});
  EXPECT_EQ(file.examples, (std::vector<Example>{{{1, 2, 3, 4, 9}, 3}}));
  EXPECT_TRUE(file.warnings.empty());
}

TEST(ReadExamples, TellsHowToReadASentencePieceModel) {
  const test::TempFolder folder;
  const auto text = R"({"prompt": "ab", "response": "c"})";
  D2C_EXPECT_ERROR((void)read(folder, text), InputError, "no tokenizer.json");
  TextEncoding encoding;
  encoding.has_sentencepiece = true;
  D2C_EXPECT_ERROR((void)read(folder, text, encoding), InputError,
                   "tokenizer.model without tokenizer.json", "save_pretrained");
  test::write_file(folder / "tokenizer.model", "");
  D2C_EXPECT_ERROR((void)text::Tokenizer::load(folder.path()), InputError, "tokenizer.model",
                   "save_pretrained");
}

TEST(ReadExamples, ReportsTheFirstFieldThatIsIgnored) {
  const test::TempFolder folder;
  const auto file = read(folder, R"({"input_ids": [5, 6], "prompt_len": 1})"
                                 "\n"
                                 R"({"input_ids": [5, 6], "prompt_len": 1, "repsonse": "a"})"
                                 "\n"
                                 R"({"input_ids": [5, 6], "prompt_len": 1, "other": 1})");
  ASSERT_EQ(file.warnings.size(), 1U);
  EXPECT_NE(file.warnings[0].find("x.jsonl:2: has the field 'repsonse'"), std::string::npos);
}

TEST(ReadExamples, MessagesBesideTextsAreReported) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file = read(folder,
                         R"({"prompt": "a", "response": "b", "messages": []})"
                         "\n"
                         R"({"prompt": "a", "response": "c", "messages": []})",
                         {&tokenizer, 9, {}});
  ASSERT_EQ(file.warnings.size(), 1U);
  EXPECT_NE(file.warnings[0].find("x.jsonl:1: has texts and messages"), std::string::npos);
}

TEST(ReadExamples, MessagesThatDifferFromTheIdsAreReported) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  test::write_file(folder / "tokenizer_config.json",
                   R"({"chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}"})");
  const std::string chat =
      R"("messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}])";
  const auto file = read(folder,
                         R"({"input_ids": [2, 3, 4], "prompt_len": 2, )" + chat + "}\n" +
                             R"({"input_ids": [2, 4, 4], "prompt_len": 2, )" + chat + "}",
                         {&tokenizer, 9, std::make_shared<text::ChatTemplate>(folder.path())});
  EXPECT_EQ(file.examples[1], (Example{{2, 4, 4}, 2}));
  ASSERT_EQ(file.warnings.size(), 1U);
  EXPECT_NE(file.warnings[0].find("x.jsonl:2: input_ids differ"), std::string::npos);
  EXPECT_NE(file.warnings[0].find("messages"), std::string::npos);
  std::filesystem::remove(folder / "tokenizer_config.json");
  const auto without = read(folder, R"({"input_ids": [2, 4, 4], "prompt_len": 2, )" + chat + "}",
                            {&tokenizer, 9, std::make_shared<text::ChatTemplate>(folder.path())});
  ASSERT_EQ(without.warnings.size(), 1U);
  EXPECT_NE(without.warnings[0].find("x.jsonl:1: input_ids are used unchecked: messages: "),
            std::string::npos);
}

TEST(ReadExamples, IdsWinOverTextAndADifferenceIsReported) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file =
      read(folder,
           R"({"prompt": "ab", "response": "c", "input_ids": [1, 2, 3, 4, 9], "prompt_len": 3})"
           "\n"
           R"({"prompt": "ab", "response": "c", "input_ids": [1, 2, 4, 9], "prompt_len": 2})",
           {&tokenizer, 9, {}});
  EXPECT_EQ(file.examples[1], (Example{{1, 2, 4, 9}, 2}));
  ASSERT_EQ(file.warnings.size(), 1U);
  EXPECT_NE(file.warnings[0].find("x.jsonl:2"), std::string::npos);
}

TEST(ReadExamples, IdsBesideTextNeedNoEndToken) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file =
      read(folder, R"({"prompt": "ab", "response": "c", "input_ids": [1, 2], "prompt_len": 1})",
           {&tokenizer, {}, {}});
  EXPECT_EQ(file.examples, (std::vector<Example>{{{1, 2}, 1}}));
  EXPECT_TRUE(file.warnings.empty());
}

TEST(ReadExamples, NamesFileLineAndFieldOfWhatIsWrong) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const TextEncoding encoding{&tokenizer, 9, {}};
  const auto expect = [&](std::string_view text, std::initializer_list<std::string_view> words) {
    SCOPED_TRACE(text);
    try {
      (void)read(folder, text, encoding);
      ADD_FAILURE() << "no error";
    } catch (const InputError& error) {
      for (const auto word : words) {
        EXPECT_NE(std::string_view(error.what()).find(word), std::string_view::npos)
            << error.what();
      }
    }
  };
  expect("", {"x.jsonl", "no example"});
  expect("[1]", {"x.jsonl:1", "not a JSON object"});
  expect("\n{\"a\": 1}", {"x.jsonl:2", "no example"});
  expect(R"({"prompt": "a"})", {"response", "missing"});
  expect(R"({"prompt": "a", "response": null})", {"response", "missing"});
  expect(std::string_view("{\"prompt\": \"a\", \"response\": \"b\"}\0\0{}\n", 37),
         {"x.jsonl:1", "byte 33", "NUL"});
  expect(R"({"prompt": "a", "response": "b"} {})", {"x.jsonl:1", "byte 34"});
  expect(R"({"prompt": 3, "response": "a"})", {"prompt", "not a text"});
  expect(R"({"prompt": "a", "response": ""})", {"response", "empty"});
  expect(R"({"input_ids": 3, "prompt_len": 1})", {"input_ids", "not a list"});
  expect(R"({"input_ids": [1, 100], "prompt_len": 1})", {"input_ids", "entry 1", "100"});
  expect(R"({"input_ids": [1, -1], "prompt_len": 1})", {"input_ids", "-1"});
  expect(R"({"input_ids": [1, 2.5], "prompt_len": 1})", {"input_ids", "2.5"});
  expect(R"({"input_ids": [1, 18446744073709551615], "prompt_len": 1})",
         {"input_ids", "entry 1 is 18446744073709551615"});
  expect(R"({"input_ids": [1, 99999999999999999999999], "prompt_len": 1})",
         {"entry 1 is 99999999999999999999999,"});
  expect(R"({"input_ids": [1, 2], "prompt_len": 18446744073709551615})",
         {"prompt_len: is 18446744073709551615, which is too large"});
  expect(R"({"input_ids": [1, 2], "prompt_len": 99999999999999999999999})",
         {"prompt_len: is 99999999999999999999999"});
  expect(R"({"input_ids": [1, 2]})", {"prompt_len", "missing"});
  expect(R"({"input_ids": [1, 2], "prompt_len": 0})", {"no prompt token"});
  expect(R"({"input_ids": [1, 2], "prompt_len": 2})", {"no response token"});
  expect(R"({"input_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9], "prompt_len": 1})",
         {"9 tokens", "8 positions"});
  expect("{\"prompt\": \"\xff\", \"response\": \"b\"}", {"x.jsonl:1", "UTF-8", "byte 13"});
}

TEST(ReadExamples, TextNeedsATokenizerAndAnEndToken) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  D2C_EXPECT_ERROR((void)read(folder, R"({"prompt": "a", "response": "b"})"), InputError,
                   "tokenizer.json");
  D2C_EXPECT_ERROR((void)read(folder, R"({"prompt": "a", "response": "b"})", {&tokenizer, {}, {}}),
                   InputError, "end-of-sequence");
}

TEST(ReadExamples, RendersMessagesThroughTheModelsChatTemplate) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const TextEncoding encoding{&tokenizer, 9, std::make_shared<text::ChatTemplate>(folder.path())};
  const std::string line =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
  D2C_EXPECT_ERROR((void)read(folder, line, encoding), InputError, "template");

  // BOS and "c" around each message: the template writes the special tokens itself.
  test::write_file(
      folder / "tokenizer_config.json",
      R"({"bos_token": "<s>", "chat_template": "{{ bos_token }}{% for m in messages %})"
      R"({% if m.role == 'user' %}c{{ m.content }}c{% else %}{{ m.content }}c{% endif %})"
      R"({% endfor %}"})");
  EXPECT_EQ(read(folder, line, encoding).examples, (std::vector<Example>{{{1, 4, 2, 4, 3, 4}, 4}}));
  D2C_EXPECT_ERROR(
      (void)read(folder, R"({"messages": [{"role": "user", "content": "a"}]})", encoding),
      InputError, "x.jsonl:1", "messages");

  const std::string with_ids = line.substr(0, line.size() - 1);
  const auto file = read(folder,
                         with_ids +
                             R"(, "input_ids": [1, 4, 2, 4, 3, 4], "prompt_len": 4})"
                             "\n" +
                             with_ids + R"(, "input_ids": [1, 4, 2, 4], "prompt_len": 2})",
                         encoding);
  ASSERT_EQ(file.warnings.size(), 1U);
  EXPECT_NE(file.warnings[0].find("x.jsonl:2: input_ids differ from what the tokenizer makes of "
                                  "the messages"),
            std::string::npos);
}

TEST(ReadExamples, ABosOrEosOfTheTextIsNotAddedAgainAndCounted) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file = read(folder,
                         R"({"prompt": "<s>ab", "response": "c"})"
                         "\n"
                         R"({"prompt": "ab", "response": "ca"})"
                         "\n"
                         R"({"prompt": "<s>", "response": "a"})",
                         {&tokenizer, 2, {}});
  EXPECT_EQ(file.examples,
            (std::vector<Example>{{{1, 2, 3, 4, 2}, 3}, {{1, 2, 3, 4, 2}, 3}, {{1, 2}, 1}}));
  ASSERT_EQ(file.warnings.size(), 2U);
  EXPECT_NE(file.warnings[0].find("x.jsonl: 2 of 3 lines begin their prompt"), std::string::npos);
  EXPECT_NE(file.warnings[1].find("x.jsonl: 2 of 3 lines end their response"), std::string::npos);
}

TEST(ReadExamples, NullFieldsAreAbsentAndAByteOrderMarkIsSkipped) {
  const test::TempFolder folder;
  const auto tokenizer = letter_tokenizer(folder);
  const auto file =
      read(folder,
           "\xEF\xBB\xBF"
           R"({"prompt": "a", "response": "b", "input_ids": null, "x": null})"
           "\n"
           R"({"prompt": null, "response": null, "input_ids": [1, 2], "prompt_len": 1})",
           {&tokenizer, 9, {}});
  EXPECT_EQ(file.examples, (std::vector<Example>{{{1, 2, 3, 9}, 2}, {{1, 2}, 1}}));
}

TEST(ReadExamples, GivesTheIdsOfRealExamples) {
  const auto root = test::shared("real/fv40");
  D2C_SKIP_WITHOUT(root);
  const auto tokenizer = text::Tokenizer::load(root / "model");
  for (const auto& entry : std::filesystem::directory_iterator(root / "examples")) {
    const auto file = read_examples(entry.path(), {&tokenizer, 2, {}}, {2048, 512});
    EXPECT_EQ(file.examples.size(), 10U) << entry.path();
    EXPECT_TRUE(file.warnings.empty()) << file.warnings.front();
  }
}

}  // namespace
}  // namespace d2c::eval
