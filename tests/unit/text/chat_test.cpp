#include "d2c/text/chat.hpp"

#include <cstdlib>
#include <string>

#include <sys/resource.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c::text {
namespace {

using json::OrderedJson;

/// A model folder with a chat template.
class Model {
 public:
  explicit Model(const OrderedJson& chat_template, const std::string& date = {},
                 const ChatLimits& limits = {})
      : chat_(write(chat_template), {}, date, limits) {}

  [[nodiscard]] std::string render(const OrderedJson& row, bool add_generation_prompt = false) {
    return chat_.render(row.dump(), add_generation_prompt);
  }
  [[nodiscard]] RenderedChat split(const OrderedJson& row) {
    return chat_.split_last_answer(row.dump());
  }

 private:
  std::filesystem::path write(const OrderedJson& chat_template) {
    const OrderedJson config = {{"chat_template", chat_template},
                                {"bos_token", "<s>"},
                                {"eos_token", {{"content", "</s>"}, {"lstrip", false}}},
                                {"pad_token", nullptr},
                                {"image_token", "<image>"},
                                {"additional_special_tokens", {"<a>", {{"content", "<b>"}}}}};
    test::write_file(folder_ / "tokenizer_config.json", config.dump());
    return folder_.path();
  }

  test::TempFolder folder_;
  ChatTemplate chat_;
};

OrderedJson conversation() {
  return OrderedJson::parse(
      R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]})");
}

std::string rendered(const std::string& text, const OrderedJson& row = conversation()) {
  return Model(text).render(row);
}

constexpr const char* turns =
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";

TEST(ChatTemplateGolden, RendersAsJinja2OrRefusesWhatItRefuses) {
  const auto golden =
      OrderedJson::parse(json::read_text(test::source("tests/unit/text/golden/chat_golden.json")));
  for (const OrderedJson& entry : golden["cases"]) {
    std::size_t next = 0;
    Model model(entry["template"]);
    for (const OrderedJson& row : golden["rows"]) {
      for (const bool add_generation_prompt : {false, true}) {
        const OrderedJson& expected = entry["rendered"][next++];
        OrderedJson actual;
        std::string error;
        try {
          actual = model.render(row, add_generation_prompt);
        } catch (const InputError& refusal) {
          error = refusal.what();
        }
        EXPECT_EQ(actual, expected) << entry["template"] << "\n" << row << "\n" << error;
      }
    }
  }
}

TEST(ChatTemplate, TheLastAnswerIsTheResponse) {
  const auto [prompt, response] = Model(turns).split(conversation());
  EXPECT_EQ(prompt, "<s><user>Hi</s><assistant>");
  EXPECT_EQ(response, "Yo</s>");
}

TEST(ChatTemplate, OneOfSeveralTemplatesIsTheDefaultAndOneMayBeForTools) {
  const auto several = OrderedJson::parse(R"([{"name": "tool_use", "template": "t"},
                                              {"name": "default", "template": "d"}])");
  EXPECT_EQ(Model(several).render(conversation()), "d");
  OrderedJson row = conversation();
  row["tools"] = OrderedJson::array({{{"name", "f"}}});
  EXPECT_EQ(Model(several).render(row), "t");
  const auto other = OrderedJson::parse(R"([{"name": "rag", "template": "r"}])");
  D2C_EXPECT_ERROR((void)Model(other).render(row), InputError, "chat_template", "'default'");
}

TEST(ChatTemplate, ItsOwnFileComesFirst) {
  const test::TempFolder folder;
  test::write_file(folder / "tokenizer_config.json", R"({"chat_template": "config"})");
  test::write_file(folder / "chat_template.jinja", "file\n");
  EXPECT_EQ(ChatTemplate(folder.path()).render(conversation().dump(), false), "file");
}

TEST(ChatTemplate, AModelWithoutOneIsAnInputErrorThatSaysWhatToGive) {
  const test::TempFolder folder;
  ChatTemplate none(folder.path());
  D2C_EXPECT_ERROR((void)none.render(conversation().dump(), false), InputError,
                   "tokenizer_config.json", "chat_template", "give prompt and response");
}

TEST(ChatTemplate, SeesTheSpecialTokensAndEveryFieldOfTheRow) {
  EXPECT_EQ(rendered("{{ bos_token }}{{ eos_token }}{{ image_token }}{{ pad_token is defined }}"
                     "{{ additional_special_tokens | join('+') }}{{ documents }}"),
            "<s></s><image>False<a>+<b>None");
  OrderedJson row = conversation();
  row["tools"] = R"([{"to": 1, "from": [1.0, 1e16, 12345678901234567890123]}])";  // as text
  row["enable_thinking"] = false;
  row["lang"] = nullptr;
  row["chat_template_kwargs"] = {{"style", "short"}};
  EXPECT_EQ(
      rendered("{{ tools | tojson }} {{ enable_thinking }} {{ lang is defined }} {{ style }}", row),
      R"([{"to": 1, "from": [1.0, 1e+16, 12345678901234567890123]}] False False short)");
  row["documents"] = "x";
  D2C_EXPECT_ERROR((void)rendered("x", row), InputError, "documents is not a list of objects");
}

TEST(ChatTemplate, WhatJinja2DoesNotTakeNamesFileAndLine) {
  for (const char* text : {"\n{{ x", "\n{% if x %}", "\n{% nope %}", "\n{{ 1 1 }}"}) {
    D2C_EXPECT_ERROR((void)rendered(text), InputError, "tokenizer_config.json", "chat_template",
                     "line 2");
  }
  D2C_EXPECT_ERROR((void)rendered("\n\n{{ 1 // 0 }}"), InputError, "line 3", "by zero");
  D2C_EXPECT_ERROR((void)rendered("{{ '\\ud800' }}"), InputError, "half of a surrogate pair");
  D2C_EXPECT_ERROR((void)rendered("{{ raise_exception('no system role') }}"), InputError,
                   "line 1: no system role");
  D2C_EXPECT_ERROR((void)rendered("{{ nothing.x }}"), InputError, "'nothing' is undefined");
}

TEST(ChatTemplate, TheSandboxHasNoWayOut) {
  for (const char* text : {"{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}",
                           "{{ messages.append(1) }}", "{{ '{0.__class__.__mro__}'.format(1) }}",
                           "{{ (''|attr('__class__')).x }}", "{% include '/etc/passwd' %}"}) {
    D2C_EXPECT_ERROR((void)rendered(text), InputError, "chat_template");
  }
}

TEST(ChatTemplate, TimeMemoryAndOutputAreBounded) {
  const std::string endless =
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
  D2C_EXPECT_ERROR((void)Model(endless, "", {.seconds = 0.3}).render(conversation()), InputError,
                   "takes longer than 0.3 s");
  // Jinja2 computes constants when it reads the template.
  D2C_EXPECT_ERROR((void)Model("{{ 9 ** (9 ** 9) }}", "", {.seconds = 0.3}).render(conversation()),
                   InputError, "asks for more time");
  D2C_EXPECT_ERROR((void)rendered("{{ 'x' * 3000000000 }}"), InputError, "too much memory");
  const std::string flood = "{% for i in range(99999) %}{{ i }}{% endfor %}";
  D2C_EXPECT_ERROR((void)Model(flood, "", {.characters = 1000}).render(conversation()), InputError,
                   "longer than 1000 characters");
}

TEST(ChatTemplateDeathTest, WorksUnderLowerLimitsOfTheSystem) {
  const auto render_and_exit = [] {
    const rlimit low{9, 9};
    setrlimit(RLIMIT_CPU, &low);
    std::exit(rendered("ok") == "ok" ? 0 : 1);
  };
  EXPECT_EXIT(render_and_exit(), testing::ExitedWithCode(0), "");
}

TEST(ChatTemplate, ServesOnAfterARefusal) {
  Model model("{% if messages[0].content == 'x' %}{{ raise_exception('x') }}{% endif %}ok");
  OrderedJson bad = conversation();
  bad["messages"][0]["content"] = "x";
  D2C_EXPECT_ERROR((void)model.render(bad), InputError, "line 1: x");
  EXPECT_EQ(model.render(conversation()), "ok");
}

TEST(ChatTemplate, ServesOnAfterAConversationThatTookTooLong) {
  Model model(
      "{% if messages[0].content == 'x' %}{% for i in range(99999) %}{% for j in range(99999) %}"
      "{% endfor %}{% endfor %}{% endif %}ok",
      "", {.seconds = 2});
  OrderedJson slow = conversation();
  slow["messages"][0]["content"] = "x";
  D2C_EXPECT_ERROR((void)model.render(slow), InputError, "takes longer than 2 s");
  EXPECT_EQ(model.render(conversation()), "ok");
}

TEST(ChatTemplate, TodayIsAFixedDayOrRefused) {
  const std::string asks = "{{ strftime_now('%d %b %Y') if strftime_now is defined }}";
  D2C_EXPECT_ERROR((void)rendered(asks), InputError, "strftime_now", "--chat-date");
  EXPECT_EQ(Model(asks, "2024-07-26").render(conversation()), "26 Jul 2024");
  D2C_EXPECT_ERROR((void)rendered("{{ [1, 2] | random }}"), InputError, "random text");
}

TEST(ChatTemplate, WithoutJinja2ItSaysWhatToInstall) {
  ASSERT_EQ(setenv("D2C_PYTHON", "/nonexistent/python3", 1), 0);
  D2C_EXPECT_ERROR((void)rendered("x"), InputError, "/nonexistent/python3",
                   "install python3-jinja2", "prompt and response");
  ASSERT_EQ(unsetenv("D2C_PYTHON"), 0);
}

TEST(ChatTemplate, WhatIsNoConversationWithAnAnswerIsRefused) {
  Model chat(turns);
  for (const char* messages :
       {R"("x")", "[]", "[1]", R"([{"content": "x"}])", R"([{"role": 1}])",
        R"([{"role": "assistant", "content": "x"}])",
        R"([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}])"}) {
    D2C_EXPECT_ERROR((void)chat.split({{"messages", OrderedJson::parse(messages)}}), InputError,
                     "messages");
  }
  D2C_EXPECT_ERROR((void)Model("{{ messages[-1].content }}").split(conversation()), InputError,
                   "is not the beginning of the whole chat");
}

}  // namespace
}  // namespace d2c::text
