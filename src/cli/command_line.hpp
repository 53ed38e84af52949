#pragma once

#include <string>
#include <vector>

#include <boost/program_options.hpp>

namespace d2c::cli {

namespace po = boost::program_options;

/// What a subcommand takes, for parsing and for --help.
struct CommandLine {
  std::string usage;        ///< "d2c run MANIFEST -K 5 --output DIR [options]"
  std::string description;  ///< what it does, in a paragraph
  std::vector<po::options_description> groups;
  std::vector<std::string> positional;  ///< option names filled by plain arguments, in order
  bool last_repeats = false;            ///< the last of `positional` takes all that remain

  [[nodiscard]] std::string help() const;
};

/// Parses strictly: no abbreviated options, no unknown ones, none given twice. With --config FILE,
/// lines `option = value` of that INI file stand for options that the command line does not give.
/// @throws UsageError naming the option
[[nodiscard]] po::variables_map parse(const CommandLine& line, const std::vector<std::string>& args);

}  // namespace d2c::cli
