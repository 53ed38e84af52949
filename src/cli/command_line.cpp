#include "command_line.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include "d2c/core/json.hpp"

namespace d2c::cli {
namespace {

namespace po = boost::program_options;

constexpr unsigned help_width = 100;  // columns

/// With the short form, as Boost takes it.
std::string spelling(const std::string& name) {
  for (const char* known : {"output", "quiet", "help"}) {
    if (name == known) return name + "," + name[0];
  }
  return name.size() == 1 ? name + "," + name : name;
}

po::options_description shown(const CommandLine& line, const CommandLine::Group& group) {
  po::options_description shown(group.caption, help_width);
  for (const BoundOption& option : group.options) {
    if (option.is_hidden || option.name == line.positional) continue;
    if (option.is_flag) {
      shown.add_options()(spelling(option.name).c_str(), option.help.c_str());
      continue;
    }
    auto* value = po::value<std::string>();
    if (!option.value_name.empty()) value->value_name(option.value_name);
    if (const std::string text = option.text(); !text.empty()) value->default_value(text);
    shown.add_options()(spelling(option.name).c_str(), value, option.help.c_str());
  }
  return shown;
}

/// The options that are not values of a command but say where such values are from or go.
po::options_description other_options(const CommandLine& line) {
  po::options_description other("Other", help_width);
  if (line.start_from) {
    other.add_options()("from", po::value<std::string>()->value_name("RESULT"),
                        "results of an earlier job (results.h5, or its folder): repeat it with its "
                        "manifest and options; those that are given here win");
  }
  if (line.has_config) {
    other.add_options()("config", po::value<std::string>()->value_name("FILE"),
                        "INI file with `option = value` lines; the command line wins");
    other.add_options()("dump-config", "print all options in the form of --config, and end");
  }
  other.add_options()("help,h", "show this text");
  return other;
}

po::options_description known(const CommandLine& line) {
  po::options_description known;
  for (const auto& group : line.groups) {
    for (const BoundOption& option : group.options) {
      const std::string name = spelling(option.name);
      if (line.positional_repeats && option.name == line.positional) {
        known.add_options()(name.c_str(), po::value<std::vector<std::string>>());
      } else if (option.is_flag) {
        known.add_options()(name.c_str(), po::value<std::string>()->implicit_value("true"));
      } else {
        known.add_options()(name.c_str(), po::value<std::string>());
      }
    }
  }
  return known.add(other_options(line));
}

po::variables_map read(const CommandLine& line, const std::vector<std::string>& args) {
  const po::options_description options = known(line);
  po::positional_options_description positional;
  if (!line.positional.empty()) {
    positional.add(line.positional.c_str(), line.positional_repeats ? -1 : 1);
  }
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

/// "d2c run --help"
std::string help_command(const CommandLine& line) {
  return line.usage.substr(0, line.usage.find(' ', 4)) + " --help";
}

void check_required(const CommandLine& line) {
  for (const auto& group : line.groups) {
    for (const BoundOption& option : group.options) {
      if (std::ranges::find(line.required, option.name) == line.required.end()) continue;
      if (!option.text().empty()) continue;
      std::string name = flag_of(option.name);
      if (option.name == line.positional) {
        name = option.name;
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
      }
      throw UsageError({name + " is missing", option.help,
                        fmt::format("write `{}`, or see `{}`", line.usage, help_command(line))});
    }
  }
}

/// @throws UsageError if a value cannot be written to an INI file
std::string ini_text(const CommandLine& line) {
  std::string text =
      fmt::format("# {} --config FILE\n", line.usage.substr(0, line.usage.find(' ', 4)));
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

std::string CommandLine::help() const {
  std::ostringstream out;
  out << "Usage: " << usage << "\n\n" << description << "\n";
  for (const Group& group : groups) {
    const po::options_description options = shown(*this, group);
    if (!options.options().empty()) out << "\n" << options;
  }
  out << "\n" << other_options(*this);
  return out.str();
}

bool parse(CommandLine& line, const Invocation& invocation) {
  try {
    const po::variables_map values = read(line, invocation.args);
    if (values.count("help") != 0) {
      if (speaks_for_all()) fmt::print("{}", line.help());
      return false;
    }
    if (values.count("from") != 0) {
      line.start_from(values["from"].as<std::string>(),
                      [&](std::string_view name) { return values.count(std::string(name)) != 0; });
    }
    set_all(line, values);
    if (values.count("dump-config") != 0) {
      if (speaks_for_all()) fmt::print("{}", ini_text(line));
      return false;
    }
  } catch (const po::error& error) {
    throw UsageError({error.what(), "", fmt::format("see `{}`", help_command(line))});
  }
  check_required(line);
  return true;
}

}  // namespace d2c::cli
