#include "help/help_text.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace d2c::cli {
namespace {

/// Columns of the terminal, within limits that read well.
std::size_t width() {
  constexpr std::size_t usual = 80;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return usual;
  return std::clamp<std::size_t>(size.ws_col, 60, 100);
}

/// Words of a text in lines; a word that is longer than a line stands alone.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > columns)
      lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

/// Paragraphs of a description, whose line breaks within them are only those of the source.
std::string wrapped_paragraphs(std::string text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    std::string paragraph = text.substr(0, end);
    text.erase(0, end + 2);
    std::ranges::replace(paragraph, '\n', ' ');
    for (const std::string& line : wrapped(paragraph, width())) result += line + "\n";
    if (!text.empty()) result += "\n";
  }
  return result;
}

/// A table of two columns; a long entry has its explanation in the line below.
std::string table(const std::vector<std::pair<std::string, std::string>>& rows) {
  constexpr std::size_t most = 26;
  std::size_t left = 0;
  for (const auto& [option, help] : rows) {
    if (option.size() <= most) left = std::max(left, option.size());
  }
  const std::size_t indent = 2 + left + 2;
  std::string text;
  for (const auto& [option, help] : rows) {
    bool is_first = option.size() <= left;
    if (!is_first) text += fmt::format("  {}\n", option);
    for (const std::string& line : wrapped(help, width() - indent)) {
      text += fmt::format("  {:<{}}  {}\n", is_first ? option : "", left, line);
      is_first = false;
    }
  }
  return text;
}

std::string group_text(const CommandLine& line, const CommandLine::Group& group) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const BoundOption& option : group.options) {
    if (option.is_hidden || option.name == line.positional) continue;
    rows.emplace_back(spelling(option), explanation(option));
  }
  return rows.empty() ? "" : fmt::format("\n{}:\n{}", group.caption, table(rows));
}

std::string head(const CommandLine& line) {
  return fmt::format("Usage: {}\n\n{}", line.usage, wrapped_paragraphs(line.description));
}

}  // namespace

char short_form(std::string_view name) {
  for (const std::string_view known : {"output", "quiet", "help"}) {
    if (name == known) return name[0];
  }
  return name.size() == 1 ? name[0] : '\0';
}

std::string spelling(const BoundOption& option) {
  const char letter = short_form(option.name);
  std::string text = option.name.size() > 1 && letter != 0
                         ? fmt::format("-{} [ {} ]", letter, flag_of(option.name))
                         : flag_of(option.name);
  if (option.is_flag) return text;
  return text + " " + (option.value_name.empty() ? "arg" : option.value_name);
}

std::string explanation(const BoundOption& option) {
  const std::string value = option.is_flag ? "" : option.text();
  return value.empty() ? option.help : fmt::format("{} [{}]", option.help, value);
}

std::string full_help(const CommandLine& line) {
  std::string text = head(line);
  for (const CommandLine::Group& group : line.groups) text += group_text(line, group);
  return text + group_text(line, common_options(line)) + "\nDefaults are in square brackets.\n";
}

std::string short_help(const CommandLine& line) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const ShownFirst& row : line.first) {
    const char letter = short_form(row.option);
    std::string name = flag_of(row.option);
    if (row.option.size() > 1 && letter != 0) name = fmt::format("-{}, {}", letter, name);
    if (!row.value_name.empty()) name += fmt::format(" {}", row.value_name);
    rows.emplace_back(std::move(name), std::string(row.help));
  }
  std::size_t n_options = 0;
  std::string groups;
  for (const CommandLine::Group& group : line.groups) {
    const auto n = std::ranges::count_if(group.options, [&](const BoundOption& option) {
      return !option.is_hidden && option.name != line.positional;
    });
    if (n == 0) continue;
    n_options += static_cast<std::size_t>(n);
    groups += (groups.empty() ? "" : ", ") + group.caption.substr(0, group.caption.find(" ("));
  }
  return fmt::format("{}\nWhat matters first:\n{}\n{}", head(line), table(rows),
                     wrapped_paragraphs(fmt::format("`{} --help-all` explains all {} options: {}.",
                                                    line.command(), n_options, groups)));
}

}  // namespace d2c::cli
