#include <fmt/format.h>

#include "d2c/core/version.hpp"

#include "help/help_text.hpp"
#include "help/reference.hpp"

namespace d2c::cli {
namespace {

/// Text as roff takes it.
std::string roff(std::string_view text) {
  std::string result;
  bool at_line_start = true;
  for (const char c : text) {
    if (at_line_start && (c == '.' || c == '\'')) result += "\\&";
    at_line_start = c == '\n';
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result;
}

/// A description; blank lines part its paragraphs.
std::string roff_paragraphs(std::string text) {
  for (std::size_t at = 0; (at = text.find("\n\n", at)) != std::string::npos; at += 5) {
    text.replace(at, 2, "\n.PP\n");
  }
  std::string result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line = text.substr(0, end);
    text.erase(0, end + 1);
    result += (line == ".PP" ? line : roff(line)) + "\n";
  }
  return result;
}

std::string options_of(const CommandLine& line, const CommandLine::Group& group) {
  std::string text;
  for (const BoundOption& option : group.options) {
    if (option.is_hidden || option.name == line.positional) continue;
    text += fmt::format(".TP\n.B {}\n{}\n", roff(spelling(option)), roff(explanation(option)));
  }
  return text.empty() ? "" : fmt::format(".PP\n.I {}\n{}", roff(group.caption), text);
}

}  // namespace

std::string manual_page() {
  std::string text = fmt::format(
      ".TH D2C 1 \"\" \"d2c {}\" \"User Commands\"\n.SH NAME\n"
      "d2c \\- cluster and merge LoRA adapters\n.SH SYNOPSIS\n.B d2c\n.I COMMAND\n[arguments]\n"
      ".SH DESCRIPTION\nd2c clusters and merges LoRA adapters of a large language model, so that a "
      "device with room for K adapters serves T tasks as well as possible.\n"
      "Defaults are in square brackets.\n",
      version());
  for (const Command& command : commands()) {
    Invocation invocation;
    invocation.look = [&](const CommandLine& line) {
      text += fmt::format(".SH {}\n.B {}\n.PP\n{}", roff(line.command()), roff(line.usage),
                          roff_paragraphs(line.description));
      for (const CommandLine::Group& group : line.groups) text += options_of(line, group);
      text += options_of(line, common_options(line));
    };
    (void)command.function(invocation);
  }
  text +=
      ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nanything that is not below\n.TP\n.B 2\nwrong "
      "usage\n.TP\n.B 3\nbad input\n.TP\n.B 4\nstopped by a signal at a checkpoint; the same "
      "command goes on\n"
      ".SH ENVIRONMENT\n.TP\n.B OMP_NUM_THREADS, SLURM_CPUS_PER_TASK\nthe default of "
      "\\-\\-threads\n.TP\n.B D2C_PYTHON\nthe Python that runs d2c report and d2c export and "
      "renders chat templates; else /usr/bin/python3\n";
  return text;
}

}  // namespace d2c::cli
