#include "command_line.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include "d2c/core/json.hpp"

#include "help/help_text.hpp"
#include "help/nearest.hpp"

namespace d2c::cli {
namespace {

namespace po = boost::program_options;

po::options_description known(const CommandLine& line) {
  po::options_description known;
  const auto add = [&](const BoundOption& option) {
    const char letter = short_form(option.name);
    const std::string name = letter == 0 ? option.name : option.name + "," + letter;
    if (line.repeats(option.name)) {
      known.add_options()(name.c_str(), po::value<std::vector<std::string>>());
    } else if (option.is_flag) {
      known.add_options()(name.c_str(), po::value<std::string>()->implicit_value("true"));
    } else {
      known.add_options()(name.c_str(), po::value<std::string>());
    }
  };
  for (const auto& group : line.groups) std::ranges::for_each(group.options, add);
  std::ranges::for_each(common_options(line).options, add);
  return known;
}

/// Boost.Program_options 1.74 writes these in its messages until none is left: for ever, where what
/// it writes has one itself.
void refuse_placeholders(std::string_view text) {
  for (const std::string_view name :
       {"canonical_option", "option", "original_token", "prefix", "value", "invalid_line"}) {
    const std::string placeholder = fmt::format("%{}%", name);
    if (text.find(placeholder) == std::string_view::npos) continue;
    throw UsageError({fmt::format("'{}' has {}", text, placeholder),
                      "options are not read where it stands", "write or name it otherwise"});
  }
}

po::variables_map read(const CommandLine& line, const std::vector<std::string>& args) {
  const po::options_description options = known(line);
  po::positional_options_description positional;
  if (!line.positional.empty()) {
    positional.add(line.positional.c_str(), line.repeats(line.positional) ? -1 : 1);
  }
  for (const std::string& arg : args) refuse_placeholders(arg);
  namespace style = po::command_line_style;
  po::variables_map values;
  po::store(po::command_line_parser(args)
                .options(options)
                .positional(positional)
                .style(style::unix_style & ~style::allow_guessing)
                .run(),
            values);
  if (values.count("config") != 0) {
    std::istringstream text(json::read_text(values["config"].as<std::string>()));
    for (std::string entry; std::getline(text, entry);) refuse_placeholders(entry);
    text.clear();
    text.seekg(0);
    po::store(po::parse_config_file(text, options, /*allow_unregistered=*/false), values);
  }
  return values;
}

void set(const BoundOption& option, const std::string& text) {
  if (const auto problem = option.set(text)) {
    throw UsageError({flag_of(option.name) + " " + problem->what, problem->why, problem->fix});
  }
}

void set_all(const CommandLine& line, const po::variables_map& values) {
  for (const auto& group : line.groups) {
    for (const BoundOption& option : group.options) {
      if (values.count(option.name) == 0) continue;
      const boost::any& value = values[option.name].value();
      if (const auto* text = boost::any_cast<std::string>(&value)) {
        set(option, *text);
      } else {
        for (const auto& each : values[option.name].as<std::vector<std::string>>()) {
          set(option, each);
        }
      }
    }
  }
}

/// "see `d2c run --help`", or the option that was meant.
std::string advice(const CommandLine& line, std::string unknown) {
  unknown.erase(0, unknown.find_first_not_of('-'));
  std::vector<std::string> names;
  const auto take = [&](const BoundOption& option) {
    if (!option.is_hidden && option.name != line.positional) names.push_back(option.name);
  };
  for (const auto& group : line.groups) std::ranges::for_each(group.options, take);
  std::ranges::for_each(common_options(line).options, take);
  const std::string all = line.command() + (line.first.empty() ? " --help" : " --help-all");
  const auto meant = nearest(unknown, names);
  if (!meant) return fmt::format("see `{}`", all);
  return fmt::format("did you mean {}? `{}` shows all options", flag_of(*meant), all);
}

void check_required(const CommandLine& line) {
  for (const auto& group : line.groups) {
    for (const BoundOption& option : group.options) {
      if (!line.is_required(option.name) || !option.text().empty()) continue;
      std::string name = flag_of(option.name);
      if (option.name == line.positional) {
        name = option.name;
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
      }
      throw UsageError({name + " is missing", option.help,
                        fmt::format("write `{}`, or see `{} --help`", line.usage, line.command())});
    }
  }
}

/// @throws UsageError if a value cannot be written to an INI file
std::string ini_text(const CommandLine& line) {
  std::string text = fmt::format("# {} --config FILE\n", line.command());
  for (const auto& group : line.groups) {
    std::string lines;
    for (const BoundOption& option : group.options) {
      const std::string value = option.text();
      if (option.is_hidden || value.empty()) continue;
      if (value.find_first_of("#\n") != std::string::npos) {
        throw UsageError({fmt::format("{} is '{}'", flag_of(option.name), value),
                          "an INI file takes no # and no line break in a value",
                          "rename the file"});
      }
      lines += fmt::format("{} = {}\n", option.name, value);
    }
    if (!lines.empty()) text += fmt::format("\n# {}\n{}", group.caption, lines);
  }
  return text;
}

void say(const std::string& text) {
  if (speaks_for_all()) fmt::print("{}", text);
}

}  // namespace

CommandLine::Group& CommandLine::group(std::string_view caption) {
  const auto place = std::ranges::find(groups, caption, &Group::caption);
  return place != groups.end() ? *place : groups.emplace_back(Group{std::string(caption), {}});
}

bool CommandLine::has(std::string_view name) const {
  return std::ranges::any_of(groups, [&](const Group& group) {
    return std::ranges::find(group.options, name, &BoundOption::name) != group.options.end();
  });
}

bool CommandLine::repeats(std::string_view name) const {
  return std::ranges::find(repeating, name) != repeating.end();
}

bool CommandLine::is_required(std::string_view name) const {
  return std::ranges::find(required, name) != required.end();
}

std::string CommandLine::command() const { return usage.substr(0, usage.find(' ', 4)); }

CommandLine::Group common_options(const CommandLine& line) {
  CommandLine::Group group{"Other", {}};
  const auto add = [&](const char* name, const char* value_name, const char* help) {
    group.options.push_back({name, help, value_name, *value_name == '\0', false,
                             [] { return std::string(); },
                             [](std::string_view) { return std::nullopt; }});
  };
  if (line.start_from) {
    add("from", "RESULT",
        "results of an earlier job (results.h5, or its folder): repeat it with its manifest and "
        "options; those that are given here win");
  }
  if (line.has_config) {
    add("config", "FILE", "INI file with `option = value` lines; the command line wins");
    add("dump-config", "", "print all options in the form of --config, and end");
  }
  add("help", "", line.first.empty() ? "show this text" : "show the options that matter first");
  add("help-all", "", "show all options");
  return group;
}

bool parse(CommandLine& line, const Invocation& invocation) {
  if (invocation.look) {
    invocation.look(line);
    return false;
  }
  try {
    const po::variables_map values = read(line, invocation.args);
    if (values.count("help-all") != 0) {
      say(full_help(line));
      return false;
    }
    if (values.count("help") != 0) {
      say(line.first.empty() ? full_help(line) : short_help(line));
      return false;
    }
    if (values.count("from") != 0) {
      line.start_from(values["from"].as<std::string>(),
                      [&](std::string_view name) -> std::optional<std::string> {
                        const auto place = values.find(std::string(name));
                        if (place == values.end()) return std::nullopt;
                        return place->second.as<std::string>();
                      });
    }
    for (const auto& [name, value] : values) line.given.push_back(name);
    set_all(line, values);
    if (values.count("dump-config") != 0) {
      say(ini_text(line));
      return false;
    }
  } catch (const po::unknown_option& error) {
    throw UsageError({error.what(), "", advice(line, error.get_option_name())});
  } catch (const po::error& error) {
    throw UsageError({error.what(), "", fmt::format("see `{} --help`", line.command())});
  }
  check_required(line);
  return true;
}

}  // namespace d2c::cli
