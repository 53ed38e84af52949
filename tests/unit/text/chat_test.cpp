#include "d2c/text/chat.hpp"

#include <string>

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::text {
namespace {

using json::Json;

ChatTemplate load_template(const Json& chat_template) {
  const test::TempFolder folder;
  const Json config = {{"chat_template", chat_template},
                       {"bos_token", "<s>"},
                       {"eos_token", {{"content", "</s>"}, {"lstrip", false}}},
                       {"pad_token", nullptr}};
  test::write_file(folder / "tokenizer_config.json", config.dump());
  return ChatTemplate::load(folder.path());
}

Json conversation() {
  return Json::parse(
      R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}])");
}

constexpr const char* kTurns =
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";

TEST(ChatTemplateGolden, RendersAsJinja2OrRefusesWhatItRefuses) {
  const auto golden = json::OrderedJson::parse(
      json::read_text(test::source("tests/unit/tokenizer/golden/chat_golden.json")));
  for (const json::OrderedJson& entry : golden["cases"]) {
    std::size_t next = 0;
    for (const json::OrderedJson& messages : golden["conversations"]) {
      for (const bool add_generation_prompt : {false, true}) {
        const json::OrderedJson& expected = entry["rendered"][next++];
        json::OrderedJson actual;
        std::string error;
        try {
          actual = load_template(entry["template"]).render(messages, add_generation_prompt);
        } catch (const InputError& refusal) {
          error = refusal.what();
        }
        EXPECT_EQ(actual, expected) << entry["template"] << "\n" << messages << "\n" << error;
      }
    }
  }
}

TEST(ChatTemplate, TheLastAnswerIsTheResponse) {
  const auto [prompt, response] = load_template(kTurns).split_last_answer(conversation());
  EXPECT_EQ(prompt, "<s><user>Hi</s><assistant>");
  EXPECT_EQ(response, "Yo</s>");
}

TEST(ChatTemplate, OneOfSeveralTemplatesIsTheDefault) {
  const Json several = Json::parse(R"([{"name": "tool_use", "template": "t"},
                                       {"name": "default", "template": "d"}])");
  EXPECT_EQ(load_template(several).render(conversation(), false), "d");
  D2C_EXPECT_ERROR((void)load_template(Json::array()), InputError, "chat_template", "'default'");
}

TEST(ChatTemplate, ItsOwnFileComesFirst) {
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer_config.json", R"({"chat_template": "config"})");
  test::write_file(folder / "chat_template.jinja", "file\n");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(conversation(), false), "file");
}

TEST(ChatTemplate, AModelWithoutOneIsAnInputErrorThatSaysWhatToGive) {
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer_config.json", "{}");
  D2C_EXPECT_ERROR((void)ChatTemplate::load(folder.path()), InputError, "tokenizer_config.json",
                   "chat_template", "give prompt and response");
}

TEST(ChatTemplate, UnsupportedConstructsAreRefusedByNameAndLine) {
  D2C_EXPECT_ERROR((void)load_template("\n{% macro f() %}{% endmacro %}"), InputError, "line 2",
                   "'macro'");
  for (const char* text :
       {"{{ x", "{% if x %}", "{% endif %}", "{{ 1 1 }}", "{{ (1 }}", "{# x", "{{ 'x }}",
        "{{ a[ }}", "{% for x %}{% endfor %}", "{{ ? }}",
        "{% if x %}{% else %}{% elif y %}{% endif %}", "{{ 99999999999999999999 }}"}) {
    D2C_EXPECT_ERROR((void)load_template(text), InputError, "chat_template", "line 1");
  }
  D2C_EXPECT_ERROR(
      (void)load_template("{{" + std::string(100'000, '(') + std::string(100'000, ')') + "}}"),
      InputError, "nested too deeply");
  const auto render = [](const char* text) {
    return load_template(text).render(conversation(), false);
  };
  D2C_EXPECT_ERROR((void)render("{{ 1 | wordwrap }}"), InputError, "the filter 'wordwrap'");
  D2C_EXPECT_ERROR((void)render("{{ 1 is callable }}"), InputError, "the test 'callable'");
  D2C_EXPECT_ERROR((void)render("{{ 'a'.zfill(3) }}"), InputError, "the method 'zfill'");
  D2C_EXPECT_ERROR((void)render("\n{{ strftime_now('%Y') }}"), InputError, "line 2",
                   "the function 'strftime_now'");
  D2C_EXPECT_ERROR((void)render("{{ 999999999999999999 * 99 }}"), InputError, "too large");
  D2C_EXPECT_ERROR((void)render("{{ raise_exception('no system role') }}"), InputError,
                   "refuses the conversation: no system role");
}

TEST(ChatTemplate, WhatIsNoConversationWithAnAnswerIsRefused) {
  const ChatTemplate chat = load_template(kTurns);
  for (const char* messages :
       {R"("x")", "[]", "[1]", R"([{"content": "x"}])", R"([{"role": 1}])",
        R"([{"role": "assistant", "content": "x"}])",
        R"([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}])"}) {
    D2C_EXPECT_ERROR((void)chat.split_last_answer(Json::parse(messages)), InputError, "messages");
  }
  const ChatTemplate reversed = load_template("{{ messages[-1].content }}");
  D2C_EXPECT_ERROR((void)reversed.split_last_answer(conversation()), InputError,
                   "is not the beginning of the whole chat");
}

}  // namespace
}  // namespace d2c::text
