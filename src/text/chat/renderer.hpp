#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "d2c/core/json.hpp"
#include "d2c/text/chat.hpp"

#include "chat/child_process.hpp"

namespace d2c::text {

/// render.py, which runs in the child process.
extern const char* const render_program;

/// What the advice of every error about chat templates comes down to.
inline constexpr const char* give_text_instead =
    "give prompt and response, or input_ids, instead of messages";

/// What the child process says in a line.
struct RenderReply {
  std::optional<std::string> text;   ///< of a conversation
  std::optional<std::string> error;  ///< why there is none
  int line = 0;                      ///< of the template, where the error is; 0 = not known
  bool asks_for_date = false;        ///< the error is that no date was given
  bool lacks_jinja = false;
};
/// Nothing where the line is none that render.py writes: a template may have got hold of its
/// output.
[[nodiscard]] std::optional<RenderReply> parse_reply(std::string_view line);

/// Jinja2 in a child process with the templates of one model.
class Renderer {
 public:
  /// @param file       where the templates are from, for messages
  /// @param templates  object of name: text
  /// @param tokens     object of the variables that every conversation sees
  /// @throws InputError if Python or Jinja2 is missing or a template is not valid
  Renderer(std::filesystem::path file, const json::OrderedJson& templates,
           const json::OrderedJson& tokens, const std::string& date, const ChatLimits& limits);

  /// The text of the conversation in the row.
  /// @param row             one JSON object on one line
  /// @param without_answer  leave the last message out
  /// @throws InputError if the template refuses it or asks for too much
  /// @pre is_of_use()
  [[nodiscard]] std::string render(std::string_view row, bool without_answer,
                                   bool add_generation_prompt);
  /// Not after a conversation without an answer: a late one would pass for that of the next.
  [[nodiscard]] bool is_of_use() const { return process_.has_value(); }

 private:
  [[nodiscard]] bool start(const std::string& python, const std::string& setup);
  [[nodiscard]] RenderReply read(const ChildProcess::Answer& answer);
  [[noreturn]] void refuse(std::string what, std::string fix = give_text_instead) const;
  /// Ends the process, and refuses.
  [[noreturn]] void give_up(std::string what);

  std::filesystem::path file_;
  ChatLimits limits_;
  std::optional<ChildProcess> process_;
};

}  // namespace d2c::text
