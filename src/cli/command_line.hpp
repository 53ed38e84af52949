#pragma once

#include <string>
#include <vector>

#include <boost/program_options.hpp>

namespace d2c::cli {

namespace po = boost::program_options;

inline constexpr unsigned kHelpWidth = 100;  ///< columns

/// What a subcommand takes, for parsing and for --help.
struct CommandLine {
  std::string usage;        ///< "d2c run MANIFEST -K 5 --output DIR [options]"
  std::string description;  ///< what it does, in a paragraph
  std::vector<po::options_description> groups;
  /// The option that plain arguments fill; the usage line explains it. Empty = none are taken.
  std::string positional;
  bool positional_repeats = false;

  [[nodiscard]] std::string help() const;
};

/// Parses strictly: no abbreviated options, no unknown ones, none given twice. With --config FILE,
/// lines `option = value` of that INI file stand for options that the command line does not give.
/// @throws UsageError naming the option
[[nodiscard]] po::variables_map parse(const CommandLine& line,
                                      const std::vector<std::string>& args);

}  // namespace d2c::cli
