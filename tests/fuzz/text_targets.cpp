// Tokenizers, chat templates and examples.
#include "d2c/core/input_file.hpp"
#include "d2c/eval/examples.hpp"
#include "d2c/text/tokenizer.hpp"

#include "chat/renderer.hpp"
#include "input.hpp"
#include "test_support.hpp"

namespace d2c::fuzz {
namespace {

using d2c::test::source;

const std::string& demo_tokenizer() {
  static const std::string text = read_text(source("data/demo/model/tokenizer.json"));
  return text;
}

/// A tokenizer.json with every kind of step.
std::string small_tokenizer(const std::string& normalizer, const std::string& pre_tokenizer,
                            const std::string& post_processor, const std::string& decoder,
                            const std::string& merges) {
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)"
         R"({"id":8,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,)"
         R"("normalized":false,"special":true}],"normalizer":)" +
         normalizer + R"(,"pre_tokenizer":)" + pre_tokenizer + R"(,"post_processor":)" +
         post_processor + R"(,"decoder":)" + decoder +
         R"(,"model":{"type":"BPE","dropout":null,"unk_token":"<unk>",)"
         R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,)"
         R"("byte_fallback":false,"vocab":{"<unk>":0,"a":1,"b":2,"ab":3,"Ġ":4,"Ġa":5,"c":6,"abc":7},)"
         R"("merges":)" +
         merges + "}}";
}

std::vector<std::string> tokenizers() {
  const std::string pairs = R"([["a","b"],["Ġ","a"],["ab","c"]])";
  const std::string strings = R"(["a b","Ġ a","ab c"])";
  const std::string byte_level =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  return {
      demo_tokenizer(), small_tokenizer("null", byte_level, byte_level, byte_level, pairs),
      small_tokenizer(
          R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":"a"},)"
          R"({"type":"Replace","pattern":{"String":" "},"content":"b"},)"
          R"({"type":"Replace","pattern":{"Regex":"c+"},"content":"c"},{"type":"Lowercase"},)"
          R"({"type":"Strip","strip_left":true,"strip_right":false}]})",
          R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
          R"-("\\p{L}+|\\s+(?!\\S)"},"behavior":"Isolated","invert":false},)-"
          R"({"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"},)" +
              byte_level + "]}",
          R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},)"
          R"({"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},)"
          R"({"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[8],)"
          R"("tokens":["<s>"]}}})",
          R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"b"},)"
          R"("content":" "},{"type":"ByteFallback"},{"type":"Fuse"},)"
          R"({"type":"Strip","content":" ","start":1,"stop":0}]})",
          strings)};
}

void use(const text::Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode("ab <s> abc 12, c\n\xf0\x9f\xa6\x84 a b", true);
  static_cast<void>(tokenizer.decode(ids, false));
  static_cast<void>(tokenizer.eos());
}

void read_tokenizer(const Input& input) {
  use(text::Tokenizer::load("t/tokenizer.json",
                            FileTexts({{"t/tokenizer.json", std::string(input.text())}})));
}

/// A file beside the demo's tokenizer.
void read_beside(const std::string& name, const Input& input) {
  use(text::Tokenizer::load("t/tokenizer.json",
                            FileTexts({{"t/tokenizer.json", demo_tokenizer()},
                                       {"t/" + name, std::string(input.text())}})));
}

const text::Tokenizer& tokenizer() {
  static const auto loaded = text::Tokenizer::load(source("data/demo/model"));
  return loaded;
}

std::vector<std::string> examples() {
  return {read_text(source("data/demo/examples/echo_bogduh.jsonl")),
          R"({"input_ids":[1,5,7,9],"prompt_len":2})"
          "\n\n"
          R"({"prompt":"a","response":"b","id":4})"
          "\n"
          R"({"prompt":"é","response":"b","input_ids":null})"};
}

void read_examples(const Input& input) {
  const eval::TextEncoding encoding{&tokenizer(), 2, nullptr, false};
  static_cast<void>(eval::read_examples(input.file("examples.jsonl"), encoding, {896, 256}));
}

std::vector<std::string> replies() {
  return {R"({"version":"3.1.2"})", R"({"missing":true})", R"({"text":"<s>user: a"})",
          R"({"error":"no such variable","line":3,"date":false})"};
}

}  // namespace

std::vector<Target> text_targets() {
  return {
      {"tokenizer", true, read_tokenizer, tokenizers},
      {"tokenizer_config", true,
       [](const Input& input) { read_beside("tokenizer_config.json", input); },
       [] {
         return std::vector{read_text(source("data/demo/model/tokenizer_config.json")),
                            std::string(R"({"eos_token":{"content":"</s>","lstrip":false},)"
                                        R"("tokenizer_class":"PreTrainedTokenizerFast",)"
                                        R"("added_tokens_decoder":{}})")};
       }},
      {"special_tokens_map", true,
       [](const Input& input) { read_beside("special_tokens_map.json", input); },
       [] {
         return std::vector<std::string>{R"({"bos_token":"<s>","eos_token":{"content":"</s>"}})"};
       }},
      {"encode", true,
       [](const Input& input) {
         static_cast<void>(tokenizer().decode(tokenizer().encode(input.text(), true), true));
       },
       [] {
         return std::vector<std::string>{"Copy the words: bogduh 12, \"naïve\" 日本 <s></s>\n",
                                         std::string(3000, 'x') + " [](){} \t\t a_b 1.5"};
       }},
      {"examples", true, read_examples, examples},
      {"chat_reply", true,
       [](const Input& input) { static_cast<void>(text::parse_reply(input.text())); }, replies}};
}

}  // namespace d2c::fuzz
