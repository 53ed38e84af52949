#include "d2c/text/tokenizer.hpp"

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "hand_made.hpp"
#include "test_support.hpp"

namespace d2c::text {
namespace {

using json::Json;
using Ids = std::vector<TokenId>;

/// A model of the letters a to c with two merges, and an unknown token.
Json abc() {
  return Json::parse(R"({
    "added_tokens": [],
    "model": {"type": "BPE", "unk_token": "?",
              "vocab": {"?": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5, " ": 6},
              "merges": ["a b", "ab c"]}})");
}

/// A tokenizer whose tokens are the whole pieces, whatever they are; joined by spaces when decoded.
Tokenizer whole_pieces(const Json& pre_tokenizer, const std::vector<std::string>& pieces) {
  Json document = abc();
  document["pre_tokenizer"] = pre_tokenizer;
  document["model"]["ignore_merges"] = true;
  for (const auto& piece : pieces) {
    auto& vocabulary = document["model"]["vocab"];
    if (!vocabulary.contains(piece)) vocabulary[piece] = vocabulary.size();
  }
  return test::load_tokenizer(document);
}

Ids ids_of(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  Ids ids;
  for (const auto& token : tokens) ids.push_back(tokenizer.id_of(token).value_or(-1));
  return ids;
}

void expect_pieces(const Json& pre_tokenizer, const std::string& text,
                   const std::vector<std::string>& pieces) {
  const Tokenizer tokenizer = whole_pieces(pre_tokenizer, pieces);
  EXPECT_EQ(tokenizer.encode(text, false), ids_of(tokenizer, pieces)) << pre_tokenizer;
}

TEST(Bpe, MergesByRankThenFromTheLeft) {
  const Tokenizer tokenizer = test::load_tokenizer(abc());
  EXPECT_EQ(tokenizer.encode("abc", false), Ids({5}));
  EXPECT_EQ(tokenizer.encode("aab", false), Ids({1, 4}));
  EXPECT_EQ(tokenizer.encode("abcabab", false), Ids({5, 4, 4}));
  EXPECT_EQ(tokenizer.encode("", false), Ids());
}

TEST(Bpe, ALongWordIsTheSumOfItsParts) {
  const Tokenizer tokenizer = test::load_tokenizer(abc());
  std::string text;
  Ids expected;
  for (int i = 0; i < 100'000; ++i) {
    text += "cab";
    expected.push_back(i == 0 ? 3 : 5);
  }
  expected.push_back(4);
  EXPECT_EQ(tokenizer.encode(text, false), expected);
}

TEST(Bpe, MergesMayBeStringsOrPairsAndATokenMayHoldASpace) {
  Json document = abc();
  document["model"]["vocab"]["a "] = 7;
  document["model"]["merges"] = Json::parse(R"([["a", " "], ["a", "b"]])");
  EXPECT_EQ(test::load_tokenizer(document).encode("a ab", false), Ids({7, 4}));
}

TEST(Bpe, UnknownCharactersAreOneTokenEachOrFused) {
  Json document = abc();
  EXPECT_EQ(test::load_tokenizer(document).encode("axyb日", false), Ids({1, 0, 0, 2, 0}));
  document["model"]["fuse_unk"] = true;
  EXPECT_EQ(test::load_tokenizer(document).encode("axyb日", false), Ids({1, 0, 2, 0}));
}

TEST(Bpe, ByteFallbackNeedsATokenForEveryByteOfTheCharacter) {
  Json document = abc();
  document["model"]["byte_fallback"] = true;
  document["model"]["vocab"]["<0xC3>"] = 7;
  document["model"]["vocab"]["<0xA9>"] = 8;
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.encode("aéü", false), Ids({1, 7, 8, 0}));
}

TEST(Bpe, AMissingUnknownTokenIsAnErrorOnlyWhenNeeded) {
  Json document = abc();
  document["model"]["unk_token"] = "[UNK]";
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.encode("ab", false), Ids({4}));
  D2C_EXPECT_ERROR((void)tokenizer.encode("x", false), InputError, "model.unk_token", "[UNK]");
}

TEST(PreTokenizer, DelimiterBehaviors) {
  const auto split = [](const char* behavior) {
    return Json{{"type", "Split"},
                {"pattern", {{"String", "-"}}},
                {"behavior", behavior},
                {"invert", false}};
  };
  const std::string text = "the-final--countdown";
  expect_pieces(split("Removed"), text, {"the", "final", "countdown"});
  expect_pieces(split("Isolated"), text, {"the", "-", "final", "-", "-", "countdown"});
  expect_pieces(split("MergedWithPrevious"), text, {"the-", "final-", "-", "countdown"});
  expect_pieces(split("MergedWithNext"), text, {"the", "-final", "-", "-countdown"});
  expect_pieces(split("Contiguous"), text, {"the", "-", "final", "--", "countdown"});
}

TEST(PreTokenizer, PartsOfASequenceSplitOneAfterAnother) {
  expect_pieces(Json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "WhitespaceSplit"}, {"type": "Punctuation"},
      {"type": "Digits", "individual_digits": true}]})"),
                "Hey friend42!  How?", {"Hey", "friend", "4", "2", "!", "How", "?"});
}

TEST(PreTokenizer, WhiteSpaceIsTheUnicodeProperty) {
  const Json split = Json::parse(R"({"type": "Split", "pattern": {"Regex": "\\s+"},
                                     "behavior": "Removed", "invert": false})");
  // U+0085 and U+3000 are white space; U+180E and U+200B are not.
  expect_pieces(split, "a\u0085b\u3000c\u180Ed\u200Be", {"a", "b", "c\u180Ed\u200Be"});
}

TEST(PreTokenizer, RegularExpressionsThatPcre2WouldReadDifferentlyAreRefused) {
  for (const char* pattern : {"[a-z&&[^b]]", "[a[^b]]", "a{1,2}+", "a{3}?", "a|(?i)b", "[\\W]",
                              "[[:cntrl:]]", "(", "\\p{NoSuchProperty}"}) {
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    D2C_EXPECT_ERROR(whole_pieces(split, {}), InputError, "pre_tokenizer.pattern.Regex", pattern);
  }
}

TEST(AddedTokens, TheLongestIsTakenBeforeAnythingElse) {
  Json document = abc();
  document["added_tokens"] = Json::parse(R"([
      {"id": 7, "content": "<a>", "normalized": false, "special": true},
      {"id": 8, "content": "<a>b", "normalized": false}])");
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.encode("a<a>b<a><a", false), Ids({1, 8, 7, 0, 1}));
  EXPECT_EQ(tokenizer.id_of("<a>b"), 8);
  EXPECT_EQ(tokenizer.id_of("absent"), std::nullopt);
  EXPECT_EQ(tokenizer.decode(Ids({1, 7, 8}), false), "a <a> <a>b");
  EXPECT_EQ(tokenizer.decode(Ids({1, 7, 8}), true), "a <a>b");
}

TEST(AddedTokens, BehindAHoleTheyAreNumberedOnWithAWarning) {
  Json document = abc();
  document["added_tokens"] = Json::parse(R"([
      {"id": 20, "content": "<a>", "normalized": false, "special": true},
      {"id": 21, "content": "<b>", "normalized": false},
      {"id": 9, "content": "<c>", "normalized": false}])");
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.encode("<a><b><c>", false), Ids({7, 8, 9}));
  ASSERT_EQ(tokenizer.warnings().size(), 2U);
  EXPECT_NE(tokenizer.warnings()[0].find("added_tokens[0].id: the token '<a>' has the id 20"),
            std::string::npos);
  // Where the vocabulary has the hole, the number that follows belongs to another token.
  document["model"]["vocab"]["d"] = 30;
  document["model"]["vocab"]["e"] = 9;
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document), InputError, "added_tokens[0].id", "'e'");

  document["model"]["vocab"]["z"] = 2147483647;
  document["added_tokens"] =
      Json::parse(R"([{"id": 2147483647, "content": "z"}, {"id": 12, "content": "y"}])");
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document), InputError, "added_tokens[1].id",
                   "largest id");
}

// PreTrainedTokenizerFast.__init__ of transformers 4 adds every token of added_tokens_decoder that
// differs from those of tokenizer.json, then the special tokens with a name; tokenizers
// (AddedVocabulary::add_tokens) takes over the flags, and numbers new tokens on.
TEST(AddedTokens, TheConfigAddsAndChangesSome) {
  Json document = abc();
  document["added_tokens"] = Json::parse(R"([
      {"id": 7, "content": "<a>", "normalized": false, "special": true},
      {"id": 8, "content": "<b>", "normalized": false}])");
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer.json", document.dump());
  constexpr const char* text = "<a> <b><c>abc<d>";
  EXPECT_EQ(Tokenizer::load(folder.path()).encode(text, false),
            Ids({7, 6, 8, 0, 3, 0, 5, 0, 0, 0}));
  test::write_file(folder / "tokenizer_config.json", R"({
      "added_tokens_decoder": {
          "12": {"content": "<d>", "normalized": false},
          "7": {"content": "<a>", "normalized": false, "special": true, "rstrip": true},
          "8": {"content": "<b>", "normalized": false},
          "9": {"content": "<c>", "normalized": false, "special": true}},
      "eos_token": "c", "pad_token": "[P]"})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.encode(text, false), Ids({7, 8, 9, 4, 3, 10}));
  EXPECT_EQ(tokenizer.decode(Ids({7, 8, 9, 4, 3}), true), "<b> ab");
  EXPECT_EQ(tokenizer.eos(), 3);
  ASSERT_EQ(tokenizer.warnings().size(), 2U);
  EXPECT_NE(tokenizer.warnings()[0].find("added_tokens_decoder.12: the token '<d>' has the id 12"),
            std::string::npos);
  EXPECT_NE(tokenizer.warnings()[1].find("pad_token: the token '[P]'"), std::string::npos);

  for (const char* wrong :
       {R"({"x": {"content": "<x>"}})", R"({"-1": {"content": "<x>"}})", "[]"}) {
    test::write_file(folder / "tokenizer_config.json",
                     fmt::format(R"({{"added_tokens_decoder": {}}})", wrong));
    D2C_EXPECT_ERROR((void)Tokenizer::load(folder.path()), InputError, "added_tokens_decoder");
  }
}

/// The prefix and what encode adds behind a text, for a tokenizer_config.json.
std::pair<Ids, Ids> frame_of(const std::string& config) {
  Json document = abc();
  document["added_tokens"] = Json::parse(R"([
      {"id": 7, "content": "<s>", "special": true}, {"id": 8, "content": "</s>", "special": true}])");
  document["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}], "pair": [],
      "special_tokens": {"</s>": {"id": "</s>", "ids": [8], "tokens": ["</s>"]}}})");
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer.json", document.dump());
  test::write_file(folder / "tokenizer_config.json", config);
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  Ids whole = tokenizer.encode("", true);
  return {tokenizer.prefix(), Ids(whole.begin() + std::ssize(tokenizer.prefix()), whole.end())};
}

TEST(PostProcessor, IsMadeFromTheConfigForTheClassesThatTransformersRebuilds) {
  using Frames = std::pair<Ids, Ids>;
  EXPECT_EQ(frame_of("{}"), Frames({}, {8}));
  for (const char* name : {"LlamaTokenizer", "LlamaTokenizerFast"}) {
    const auto with = [&](const std::string& flags) {
      return frame_of(fmt::format(R"({{"tokenizer_class": "{}"{}}})", name, flags));
    };
    EXPECT_EQ(with(R"(, "add_bos_token": true, "add_eos_token": false)"), Frames({7}, {}));
    EXPECT_EQ(with(R"(, "add_eos_token": true)"), Frames({7}, {8}));
    EXPECT_EQ(with(R"(, "add_bos_token": false, "bos_token": null)"), Frames({}, {}));
    EXPECT_EQ(with(R"(, "add_bos_token": true, "bos_token": {"content": "a"})"), Frames({1}, {}));
    EXPECT_EQ(with(R"(, "add_bos_token": null)"), Frames({}, {8}));
    EXPECT_EQ(with(""), Frames({}, {8}));
  }
  EXPECT_EQ(frame_of(R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": true})"),
            Frames({}, {8}));
  D2C_EXPECT_ERROR(frame_of(R"({"tokenizer_class": "GemmaTokenizer", "add_bos_token": true})"),
                   InputError, "tokenizer_config.json", "add_bos_token", "'<bos>'");
  D2C_EXPECT_ERROR(frame_of(R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": 1})"),
                   InputError, "add_bos_token", "true or false");
}

// GPT2TokenizerFast.__init__ of transformers, and PreTrainedTokenizerFast.__init__ of later 4.x,
// set add_prefix_space of the pre-tokenizer to what tokenizer_config.json says, or to false.
TEST(TokenizerConfig, APrefixSpaceThatThePreTokenizerHasOtherwiseIsRefused) {
  const auto load = [](bool in_step, const char* config) {
    Json document = abc();
    document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", in_step}};
    const test::TempFolder folder;
    test::write_file(folder / "tokenizer.json", document.dump());
    test::write_file(folder / "tokenizer_config.json", config);
    (void)Tokenizer::load(folder.path());
  };
  EXPECT_NO_THROW(load(true, "{}"));
  EXPECT_NO_THROW(load(true, R"({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true})"));
  EXPECT_NO_THROW(load(false, R"({"tokenizer_class": "GPT2Tokenizer"})"));
  D2C_EXPECT_ERROR(load(true, R"({"tokenizer_class": "GPT2TokenizerFast"})"), InputError,
                   "tokenizer_config.json", "add_prefix_space", "not true");
  D2C_EXPECT_ERROR(load(false, R"({"add_prefix_space": true})"), InputError, "add_prefix_space");
}

// PreTrainedTokenizerFast.__init__ of transformers hands it on to tokenizers as
// encode_special_tokens, with which no special token of a text is one token.
TEST(TokenizerConfig, SplittingOfSpecialTokensIsRefused) {
  EXPECT_NO_THROW(frame_of(R"({"split_special_tokens": false})"));
  D2C_EXPECT_ERROR(frame_of(R"({"split_special_tokens": true})"), InputError,
                   "tokenizer_config.json", "split_special_tokens");
}

TEST(PostProcessor, TheTemplateGivesPrefixAndSuffix) {
  Json document = abc();
  document["post_processor"] = Json::parse(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel", "trim_offsets": false},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "s", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "e", "type_id": 0}}], "pair": [],
       "special_tokens": {"s": {"id": "s", "ids": [8, 9], "tokens": ["s", "s2"]},
                          "e": {"id": "e", "ids": [7], "tokens": ["e"]}}}]})");
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.prefix(), Ids({8, 9}));
  EXPECT_EQ(tokenizer.encode("ab", true), Ids({8, 9, 4, 7}));
  EXPECT_EQ(tokenizer.encode("ab", false), Ids({4}));
  EXPECT_EQ(tokenizer.encode("", true), Ids({8, 9, 7}));
}

TEST(Decoder, ByteTokensBecomeTextOrReplacementCharacters) {
  Json document = abc();
  document["model"]["vocab"].update(Json::parse(R"({"<0xE6>": 7, "<0x97>": 8, "<0xA5>": 9})"));
  document["decoder"] = Json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 1, "stop": 0}]})");
  const Tokenizer tokenizer = test::load_tokenizer(document);
  EXPECT_EQ(tokenizer.decode(Ids({1, 1, 7, 8, 9, 2}), false), "a日b");
  EXPECT_EQ(tokenizer.decode(Ids({7, 8, 2, 999}), false), "\uFFFD\uFFFDb");
}

TEST(Utf8, TheFirstInvalidByteIsFound) {
  EXPECT_EQ(first_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(first_invalid_utf8("aé日🙂\u0000"), std::nullopt);
  EXPECT_EQ(first_invalid_utf8("ab\xff"), 2U);
  EXPECT_EQ(first_invalid_utf8("é\x80"), 2U);
  EXPECT_EQ(first_invalid_utf8("\xc0\xaf"), 0U);                    // overlong
  EXPECT_EQ(first_invalid_utf8("x\xed\xa0\x80"), 1U);               // surrogate
  EXPECT_EQ(first_invalid_utf8("x\xf4\x90\x80\x80"), 1U);           // above U+10FFFF
  EXPECT_EQ(first_invalid_utf8(std::string_view("\xe6\x97")), 0U);  // cut off
}

TEST(Utf8, InvalidTextIsAnInputErrorThatNamesTheByte) {
  const Tokenizer tokenizer = test::load_tokenizer(abc());
  D2C_EXPECT_ERROR((void)tokenizer.encode("ab\xff", false), InputError,
                   "not valid UTF-8 at byte 2");
}

TEST(Tokenizer, RefusesStepsThatMakeATextLongerAndLonger) {
  Json document = abc();
  Json steps = Json::array();
  for (int i = 0; i < 6; ++i) {
    steps.push_back(
        {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(50, 'a')}});
  }
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document).encode(std::string(100, 'a'), false),
                   InputError, "normalizer", "times as long");

  document["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1 << 20, 'a')}};
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document).encode(std::string(100, 'a'), false),
                   InputError, "replaces 100 places");

  document.erase("normalizer");
  steps = Json::array();
  for (int i = 0; i < 40; ++i) {
    steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  }
  document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document).encode("\xC3\xA9", false), InputError,
                   "pre_tokenizer", "times as long");
}

/// One change that makes the file invalid or not supported, and what the error must name.
struct BadFile {
  const char* pointer;
  const char* value;
  std::vector<std::string_view> named;
};

TEST(TokenizerFile, WhatIsInvalidOrNotSupportedIsNamed) {
  const std::vector<BadFile> files = {
      {"/model/type", R"("Unigram")", {"model.type", "'Unigram'", "supported: BPE"}},
      {"/model/type", R"("WordPiece")", {"model.type", "'WordPiece'"}},
      {"/model/dropout", "0.1", {"model.dropout"}},
      {"/model/vocab", "[]", {"model.vocab"}},
      {"/model/vocab/a", "-1", {"model.vocab.a"}},
      {"/model/vocab/a", "4294967296", {"model.vocab.a"}},
      {"/model/merges", "{}", {"model.merges"}},
      {"/model/merges/1", R"("ab")", {"model.merges[1]"}},
      {"/model/merges/1", R"("a b c")", {"model.merges[1]"}},
      {"/model/merges/1", R"(["a"])", {"model.merges[1]"}},
      {"/model/merges/1", R"("a x")", {"model.merges[1]", "'x'"}},
      {"/model/merges/1", R"("b c")", {"model.merges[1]", "'bc'"}},
      {"/model/byte_fallback", R"("yes")", {"model.byte_fallback"}},
      {"/normalizer", R"({"type": "Precompiled"})", {"normalizer.type", "'Precompiled'"}},
      {"/normalizer",
       R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})",
       {"normalizer.pattern.String"}},
      {"/normalizer",
       R"({"type": "Sequence", "normalizers": [{"type": "X"}]})",
       {"normalizer.normalizers[0].type", "'X'"}},
      {"/pre_tokenizer", R"({"type": "BertPreTokenizer"})", {"pre_tokenizer.type"}},
      {"/pre_tokenizer", R"({})", {"pre_tokenizer.type", "missing"}},
      {"/pre_tokenizer",
       R"({"type": "Punctuation", "behavior": "Kept"})",
       {"pre_tokenizer.behavior", "'Kept'"}},
      {"/pre_tokenizer",
       R"({"type": "Metaspace", "replacement": "__"})",
       {"pre_tokenizer.replacement"}},
      {"/pre_tokenizer",
       R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
       {"pre_tokenizer.prepend_scheme", "'last'"}},
      {"/post_processor", R"({"type": "BertProcessing"})", {"post_processor.type"}},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "s"}}],
           "special_tokens": {"s": {"ids": [1]}}})",
       {"post_processor.single"}},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "s"}}],
           "special_tokens": {}})",
       {"post_processor.special_tokens.s", "missing"}},
      {"/decoder", R"({"type": "WordPiece"})", {"decoder.type", "'WordPiece'"}},
      {"/added_tokens", R"([{"content": "a"}])", {"added_tokens[0].id", "missing"}},
      {"/added_tokens", R"([{"id": 3, "content": "a"}])", {"added_tokens[0].id", "3", "1"}},
      {"/added_tokens", R"([{"id": 3, "content": "x"}])", {"added_tokens[0].id", "'x'", "'c'"}},
      {"/added_tokens", R"([{"id": -3, "content": "x"}])", {"added_tokens[0].id"}},
  };
  for (const auto& [pointer, value, named] : files) {
    Json document = abc();
    document[Json::json_pointer(pointer)] = Json::parse(value);
    try {
      (void)test::load_tokenizer(document);
      ADD_FAILURE() << pointer << " = " << value << " was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("tokenizer.json: "), std::string::npos);
      for (const auto part : named) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      }
    }
  }
}

TEST(TokenizerFile, TheVersionMustBeKnown) {
  Json document = abc();
  document["version"] = "2.0";
  D2C_EXPECT_ERROR((void)test::load_tokenizer(document), InputError, "version", "2.0");
}

TEST(TokenizerFile, AFileOrItsFolderCanBeNamed) {
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer.json", abc().dump());
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("ab", false),
            Tokenizer::load(folder / "tokenizer.json").encode("ab", false));
  D2C_EXPECT_ERROR((void)Tokenizer::load(folder / "absent"), IoError, "absent");
  test::write_file(folder / "tokenizer.json", "[]");
  D2C_EXPECT_ERROR((void)Tokenizer::load(folder.path()), InputError, "must be an object");
}

}  // namespace
}  // namespace d2c::text
