#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/tools/pack.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c pack MANIFEST|ADAPTER... --output LIBRARY.h5 [options]";
  line.description =
      "Packs LoRA adapters into one HDF5 file, so that a job opens one file instead of thousands.\n"
      "Takes a manifest (all adapters of its tasks), or PEFT folders. A manifest reads adapters "
      "from\n"
      "a library with the field \"library\": FILE; its tasks then name adapters as the library "
      "does:\n"
      "by the last part of their folder where these differ, else by their whole path.\n\n"
      "A call that was ended half-way is finished by the same call.";
  po::options_description options("Options", kHelpWidth);
  // clang-format off
  options.add_options()
      ("output,o", po::value<std::string>(), "library file to be made")
      ("write-manifest", po::value<std::string>()->default_value(""),
       "also write a manifest of the same tasks that reads from the library")
      ("model", po::value<std::string>()->default_value(""),
       "base model folder that adapters given as folders are checked against")
      ("overwrite", po::bool_switch(), "replace an existing library when the new one is whole")
      ("append", po::bool_switch(),
       "add to an existing library; needs room for a second copy until it is done")
      ("verify", po::value<std::string>(),
       "pack nothing: check every adapter of this library against its checksum")
      ("quiet,q", po::bool_switch(), "no progress lines")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(options);
  line.positional = "inputs";
  line.positional_repeats = true;
  return line;
}

tools::LibraryOptions options_of(const po::variables_map& values) {
  tools::LibraryOptions options;
  if (values.count("inputs") == 0) {
    throw UsageError({"nothing is given to be packed", "", "name a manifest or PEFT folders"});
  }
  if (values.count("output") == 0) {
    throw UsageError({"--output is missing", "the library needs a place", "give a file name"});
  }
  for (const auto& input : values["inputs"].as<std::vector<std::string>>()) {
    options.inputs.emplace_back(input);
  }
  options.output = values["output"].as<std::string>();
  options.manifest_output = values["write-manifest"].as<std::string>();
  options.model = values["model"].as<std::string>();
  const bool overwrite = values["overwrite"].as<bool>();
  const bool append = values["append"].as<bool>();
  if (overwrite && append) {
    throw UsageError({"--overwrite and --append are both given", "", "give one of them"});
  }
  using IfExists = tools::LibraryOptions::IfExists;
  options.if_exists = overwrite ? IfExists::replace : append ? IfExists::append : IfExists::refuse;
  if (!values["quiet"].as<bool>()) {
    options.log = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  }
  return options;
}

}  // namespace

int pack_command(const Invocation& invocation) {
  const CommandLine line = command_line();
  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    fmt::print("{}", line.help());
    return 0;
  }
  if (values.count("verify") != 0) {
    fmt::print("{}\n", tools::verify_library(values["verify"].as<std::string>()));
    return 0;
  }
  const tools::LibraryOptions options = options_of(values);
  const tools::PackSummary summary = tools::pack(options);
  fmt::print("{}: {} adapters, {:.1f} MiB", options.output.string(), summary.n_adapters,
             static_cast<double>(summary.bytes) / (1 << 20));
  if (summary.n_resumed > 0) fmt::print(" ({} were packed before)", summary.n_resumed);
  fmt::print("\n");
  if (!options.manifest_output.empty()) {
    fmt::print("Manifest: {}\n", options.manifest_output.string());
  }
  return 0;
}

}  // namespace d2c::cli
