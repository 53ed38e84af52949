#include "command_line.hpp"

#include <sstream>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::cli {
namespace {

po::options_description all_options(const CommandLine& line) {
  po::options_description all;
  for (const auto& group : line.groups) all.add(group);
  if (line.positional_repeats) {
    all.add_options()(line.positional.c_str(), po::value<std::vector<std::string>>());
  } else if (!line.positional.empty()) {
    all.add_options()(line.positional.c_str(), po::value<std::string>()->required());
  }
  return all;
}

po::positional_options_description positional(const CommandLine& line) {
  po::positional_options_description result;
  if (!line.positional.empty()) {
    result.add(line.positional.c_str(), line.positional_repeats ? -1 : 1);
  }
  return result;
}

}  // namespace

std::string CommandLine::help() const {
  std::ostringstream out;
  out << "Usage: " << usage << "\n\n" << description << "\n";
  for (const auto& group : groups) out << "\n" << group;
  return out.str();
}

po::variables_map parse(const CommandLine& line, const std::vector<std::string>& args) {
  const auto options = all_options(line);
  namespace style = po::command_line_style;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(args)
                  .options(options)
                  .positional(positional(line))
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              values);
    if (values.count("config") != 0) {
      std::istringstream text(json::read_text(values["config"].as<std::string>()));
      po::store(po::parse_config_file(text, options, /*allow_unregistered=*/false), values);
    }
    if (values.count("help") == 0) po::notify(values);
  } catch (const po::error& error) {
    throw UsageError(
        {error.what(), "",
         fmt::format("see `{} --help`", line.usage.substr(0, line.usage.find(' ', 4)))});
  }
  return values;
}

}  // namespace d2c::cli
