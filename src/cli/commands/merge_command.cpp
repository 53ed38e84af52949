#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/tools/merge_folders.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c merge ADAPTER... --output DIR [--method M] [--weights w1,w2,...] [options]";
  line.description =
      "Merges LoRA adapters (PEFT folders, or LIBRARY.h5::NAME) into one, without clustering or "
      "base "
      "model.";
  po::options_description options("Options", kHelpWidth);
  // clang-format off
  options.add_options()
      ("output,o", po::value<std::string>(), "PEFT folder to be made; must not exist")
      ("weights", po::value<std::string>()->default_value(""),
       "one weight per adapter, separated by commas; without it 1/m each. TIES methods also divide "
       "by the number of adapters that agree on an entry: their result with 1/m is about m times "
       "smaller than the mean of those that agree, which 1,1,... gives")
      ("model", po::value<std::string>()->default_value(""),
       "base model folder; needed only for adapters that store a copy of its embedding or head")
      ("seed", po::value<std::uint64_t>()->default_value(0), "of methods that draw random numbers")
      ("list-methods", po::bool_switch(), "explain the methods and end")
      ("help,h", "show this text");
  // clang-format on
  add_merge_options(options, "average");
  line.groups.push_back(options);
  line.positional = "adapters";
  line.positional_repeats = true;
  return line;
}

std::vector<double> parse_weights(const std::string& text) {
  std::vector<double> weights;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    double weight = 0;
    const auto [rest, error] = std::from_chars(text.data() + begin, text.data() + end, weight);
    if (error != std::errc() || rest != text.data() + end) {
      throw UsageError(
          {fmt::format("--weights: '{}' is not a number", text.substr(begin, end - begin)), "",
           "write numbers separated by commas, e.g. 0.5,0.3,0.2"});
    }
    weights.push_back(weight);
    begin = end + 1;
  }
  return weights;
}

void list_methods() {
  for (const merge::Method& method : merge::methods()) {
    std::string reads;
    if (method.uses_merged_rank) reads += " --merged-rank";
    if (method.uses_density) reads += " --density";
    if (method.uses_majority_sign) reads += " --majority-sign-method";
    if (method.uses_seed) reads += " --seed";
    fmt::print("{:<20} {}\n{:<20} {}{}\n", method.name, method.summary, "", method.reference,
               reads.empty() ? "" : "; reads" + reads);
  }
}

}  // namespace

int merge_command(const Invocation& invocation) {
  const CommandLine line = command_line();
  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    fmt::print("{}", line.help());
    return 0;
  }
  if (values["list-methods"].as<bool>()) {
    list_methods();
    return 0;
  }
  if (values.count("adapters") == 0) {
    throw UsageError(
        {"no adapter is given", "there is nothing to merge", "name one PEFT folder or more"});
  }
  if (values.count("output") == 0) {
    throw UsageError({"--output is missing", "the merged adapter needs a place", "give a folder"});
  }
  tools::MergeFoldersOptions options;
  for (const auto& folder : values["adapters"].as<std::vector<std::string>>()) {
    options.adapters.emplace_back(folder);
  }
  options.weights = parse_weights(values["weights"].as<std::string>());
  options.method = values["method"].as<std::string>();
  options.merge = merge_options(values);
  options.dtype = merged_dtype(values);
  options.model = values["model"].as<std::string>();
  options.output = values["output"].as<std::string>();
  fmt::print("{}\n", tools::merge_folders(options));
  return 0;
}

}  // namespace d2c::cli
