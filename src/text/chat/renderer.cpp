#include "chat/renderer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c::text {
namespace {

constexpr const char* no_rendering = "the conversation cannot be rendered";

/// Where Jinja2 is looked for, the first that has it counts.
std::vector<std::string> pythons() {
  if (const char* chosen = std::getenv("D2C_PYTHON"); chosen != nullptr && *chosen != '\0') {
    return {chosen};
  }
  return {"/usr/bin/python3", "python3"};
}

}  // namespace

std::optional<RenderReply> parse_reply(std::string_view line) {
  const json::Json value = json::Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return std::nullopt;
  RenderReply reply;
  reply.lacks_jinja = value.contains("missing");
  for (const auto& [key, text] : {std::pair("text", &reply.text), {"error", &reply.error}}) {
    const auto field = value.find(key);
    if (field == value.end()) continue;
    if (!field->is_string()) return std::nullopt;
    *text = field->get<std::string>();
  }
  if (!reply.error) return reply;
  const auto line_number = json::integer(value.value("line", json::Json()));
  reply.line = static_cast<int>(std::clamp<std::int64_t>(line_number.value_or(0), 0, 1 << 30));
  reply.asks_for_date = value.value("date", json::Json()) == true;
  return reply;
}

Renderer::Renderer(std::filesystem::path file, const json::OrderedJson& templates,
                   const json::OrderedJson& tokens, const std::string& date,
                   const ChatLimits& limits)
    : file_(std::move(file)), limits_(limits) {
  const json::OrderedJson setup = {
      {"templates", templates},
      {"tokens", tokens},
      {"date", date.empty() ? json::OrderedJson() : json::OrderedJson(date)},
      {"seconds", limits.seconds},
      {"memory_bytes", limits.memory_bytes},
      {"max_characters", limits.characters}};
  const std::string line = setup.dump(-1, ' ', /*ensure_ascii=*/true);
  for (const std::string& python : pythons()) {
    if (start(python, line)) return;
  }
  throw InputError(
      {file_, "chat_template"},
      {fmt::format("cannot be rendered: no Jinja2 (3.1 or newer) for {}",
                   fmt::join(pythons(), " or ")),
       "chat templates are programs for it",
       "install python3-jinja2, or name a Python that has it in D2C_PYTHON, or give prompt and "
       "response instead of messages"});
}

/// Whether this Python has Jinja2; then it is ready.
bool Renderer::start(const std::string& python, const std::string& setup) {
  // A cold start from a busy network file system takes long.
  constexpr std::chrono::seconds start_limit{120};
  process_.emplace(std::vector<std::string>{python, "-I", "-B", "-c", render_program});
  const auto greeting = process_->ask("", start_limit, limits_.characters);
  if (greeting.failure != ChildProcess::Failure::none || read(greeting).lacks_jinja) return false;
  static_cast<void>(read(process_->ask(setup, start_limit, limits_.characters)));
  return true;
}

std::string Renderer::render(std::string_view row, bool without_answer,
                             bool add_generation_prompt) {
  const std::string request =
      fmt::format(R"({{"without_answer": {}, "add_generation_prompt": {}, "row": {}}})",
                  without_answer, add_generation_prompt, row);
  // A character takes up to twelve bytes in JSON.
  const auto answer = process_->ask(request, std::chrono::duration<double>(limits_.seconds),
                                    12 * limits_.characters + 1024);
  RenderReply reply = read(answer);
  if (!reply.text) give_up("the Python process does not answer as it should");
  return std::move(*reply.text);
}

RenderReply Renderer::read(const ChildProcess::Answer& answer) {
  using Failure = ChildProcess::Failure;
  if (answer.failure == Failure::too_slow) {
    give_up(fmt::format("takes longer than {} s to render", limits_.seconds));
  }
  if (answer.failure != Failure::none) {
    give_up("asks for more time, memory or output than a template may have");
  }
  std::optional<RenderReply> reply = parse_reply(answer.line);
  if (!reply) give_up("the Python process does not answer as it should");
  if (!reply->error) return std::move(*reply);
  refuse((reply->line > 0 ? fmt::format("line {}: ", reply->line) : "") + *reply->error,
         reply->asks_for_date
             ? fmt::format("name a day with --chat-date YYYY-MM-DD, or {}", give_text_instead)
             : give_text_instead);
}

void Renderer::give_up(std::string what) {
  process_.reset();
  refuse(std::move(what));
}

void Renderer::refuse(std::string what, std::string fix) const {
  throw InputError({file_, "chat_template"}, {std::move(what), no_rendering, std::move(fix)});
}

}  // namespace d2c::text
