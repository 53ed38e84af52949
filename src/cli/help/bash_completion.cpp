#include <fmt/format.h>
#include <fmt/ranges.h>

#include "help/reference.hpp"

namespace d2c::cli {
namespace {

std::string case_of(std::string_view name, const CommandLine& line) {
  std::vector<std::string> options;
  std::string words;
  const auto take = [&](const BoundOption& option) {
    if (option.is_hidden || option.name == line.positional) return;
    options.push_back(flag_of(option.name));
    if (option.words.empty()) return;
    words += fmt::format("        {}) words=\"{}\" ;;\n", flag_of(option.name),
                         fmt::join(option.words, " "));
  };
  for (const CommandLine::Group& group : line.groups) {
    for (const BoundOption& option : group.options) take(option);
  }
  for (const BoundOption& option : common_options(line).options) take(option);
  std::string text = fmt::format("    {})\n      options=\"{}\"\n", name, fmt::join(options, " "));
  if (!words.empty()) text += fmt::format("      case $previous in\n{}      esac\n", words);
  return text + "      ;;\n";
}

}  // namespace

std::string bash_completion() {
  std::string names;
  std::string cases;
  for (const Command& command : commands()) {
    names.append(command.name).append(" ");
    Invocation invocation;
    invocation.look = [&](const CommandLine& line) { cases += case_of(command.name, line); };
    (void)command.function(invocation);
  }
  return fmt::format(
      R"(# Completion of d2c for bash.
_d2c() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} options= words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{}--help --version" -- "$current"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{}  esac
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  fi
}}
complete -o default -F _d2c d2c
)",
      names, cases);
}

}  // namespace d2c::cli
