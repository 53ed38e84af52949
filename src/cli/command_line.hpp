#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/core/option.hpp"

#include "commands/commands.hpp"

namespace d2c::cli {

/// An option and the place where its value goes.
struct BoundOption {
  std::string name;
  std::string help;
  std::string value_name;
  bool is_flag = false;
  bool is_hidden = false;  ///< taken, but not shown in the help text
  std::function<std::string()> text;
  std::function<std::optional<Message>(std::string_view text)> set;
  std::vector<std::string_view> words = {};  ///< all values, where they are a few words
};

/// An option that --help shows where it does not show all, with its default in words.
struct ShownFirst {
  std::string_view option;
  std::string_view value_name;
  std::string_view help;
};

/// What a subcommand takes, for parsing and for --help.
struct CommandLine {
  struct Group {
    std::string caption;
    std::vector<BoundOption> options;
  };

  std::string usage;        ///< "d2c run MANIFEST -K 5 --output DIR [options]"
  std::string description;  ///< what it does, in a paragraph
  std::vector<Group> groups = {};
  /// The option that plain arguments fill; usage and description explain it. Empty = none are
  /// taken.
  std::string positional = {};
  std::vector<std::string> repeating = {};  ///< options that may be given several times
  std::vector<std::string> required = {};   ///< options that must not be empty
  bool has_config = false;                  ///< takes --config and --dump-config
  std::vector<ShownFirst> first = {};       ///< what --help shows; empty = all options
  /// Of commands that take --from: sets all options as those of the results file.
  /// @param given  what the command line or the INI file says of an option, if it has that
  std::function<void(const std::string& file, const std::function<std::optional<std::string>(
                                                  std::string_view option)>& given)>
      start_from = {};

  /// Options that the arguments or the INI file have, after parse().
  std::vector<std::string> given = {};

  /// Adds an option to a group, which is made where there is none of that caption.
  /// @param target  outlives parse(); its present values are the defaults
  template <class Target>
  void add(std::string_view caption, const Option<Target>& row, Target& target) {
    group(caption).options.push_back(
        {row.name, row.help, row.value_name, row.value.kind == OptionKind::flag, false,
         [value = row.value, &target] { return value.text(target); },
         [value = row.value, &target](std::string_view text) { return value.set(target, text); },
         row.value.words});
  }
  template <class Target>
  void add(std::string_view caption, std::vector<Option<Target>> rows, Target& target) {
    for (auto& row : rows) add(caption, row, target);
  }
  Group& group(std::string_view caption);
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] bool repeats(std::string_view name) const;
  [[nodiscard]] bool is_required(std::string_view name) const;
  /// "d2c run"
  [[nodiscard]] std::string command() const;
};

/// The options that are not values of a command but say where such values are from or go, as
/// CommandLine::group() has others.
[[nodiscard]] CommandLine::Group common_options(const CommandLine& line);

/// Sets the options of a command from its arguments and, with --config FILE, from the lines
/// `option = value` of an INI file for those that the arguments do not give. Strict: no abbreviated
/// options, no unknown ones, none given twice.
/// @return  false if nothing is left to do: --help, --help-all or --dump-config was given, or the
///          invocation was only to look
/// @throws UsageError naming the option
[[nodiscard]] bool parse(CommandLine& line, const Invocation& invocation);

}  // namespace d2c::cli
