#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/merge/merge.hpp"
#include "d2c/tools/merge_folders.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

struct MergeArguments : tools::MergeFoldersOptions {
  bool list_methods = false;
};

/// Numbers separated by commas.
OptionValue<MergeArguments> member_weights() {
  return {OptionKind::text,
          [](const MergeArguments& arguments) {
            return fmt::format("{}", fmt::join(arguments.weights, ","));
          },
          [](MergeArguments& arguments, std::string_view text) -> std::optional<Message> {
            arguments.weights.clear();
            for (std::size_t begin = 0; begin < text.size();) {
              const std::size_t end = std::min(text.find(',', begin), text.size());
              double weight = 0;
              const auto [rest, error] =
                  std::from_chars(text.data() + begin, text.data() + end, weight);
              if (error != std::errc() || rest != text.data() + end) {
                return Message{fmt::format("does not take '{}'", text.substr(begin, end - begin)),
                               "it is a number for each adapter",
                               "write numbers separated by commas, such as 0.5,0.3,0.2"};
              }
              arguments.weights.push_back(weight);
              begin = end + 1;
            }
            return std::nullopt;
          }};
}

std::vector<Option<MergeArguments>> merge_options() {
  using A = MergeArguments;
  std::vector<std::string_view> methods;
  for (const merge::Method& method : merge::methods()) methods.push_back(method.name);
  return {
      {"adapters", option::list<A, std::filesystem::path>(&A::adapters),
       "PEFT folders, or LIBRARY.h5::NAME"},
      {"output", option::path<A>(&A::output), "PEFT folder to be made; must not exist"},
      {"weights", member_weights(),
       "one weight per adapter, separated by commas; without it 1/m each. TIES methods also divide "
       "by the number of adapters that agree on an entry: their result with 1/m is about m times "
       "smaller than the mean of those that agree, which 1,1,... gives"},
      {"model", option::path<A>(&A::model),
       "base model folder; needed only for adapters that store a copy of its embedding or head"},
      {"list-methods", option::flag<A>(&A::list_methods), "explain the methods and end"},
      {"method", option::name_among<A>(&A::method, methods),
       fmt::format("how adapters are merged: {}", fmt::join(methods, ", "))},
  };
}

void list_methods() {
  for (const merge::Method& method : merge::methods()) {
    auto reads = merge::parameters_of(method);
    if (method.uses_inputs) reads.emplace_back("the examples of a job (d2c run alone)");
    fmt::print("{:<20} {}\n{:<20} {}{}\n", method.name, method.summary, "", method.reference,
               reads.empty() ? "" : fmt::format("; reads {}", fmt::join(reads, " ")));
  }
}

}  // namespace

int merge_command(const Invocation& invocation) {
  MergeArguments arguments;
  job::RunOptions options;
  CommandLine line{
      .usage = "d2c merge ADAPTER... --output DIR [--method M] [--weights w1,w2,...] [options]",
      .description =
          "Merges LoRA adapters (PEFT folders, or LIBRARY.h5::NAME) into one, without clustering "
          "or base "
          "model.",
      .positional = "adapters",
      .repeating = {"adapters"}};
  line.add("Options", merge_options(), arguments);
  add_job_options(line, job::traits::merge, options, "Options");
  if (!parse(line, invocation)) return 0;
  if (arguments.list_methods) {
    list_methods();
    return 0;
  }
  if (arguments.adapters.empty()) {
    throw UsageError(
        {"no adapter is given", "there is nothing to merge", "name one PEFT folder or more"});
  }
  if (arguments.output.empty()) {
    throw UsageError({"--output is missing", "the merged adapter needs a place", "give a folder"});
  }
  arguments.merge = options.merge;
  arguments.dtype = options.merged_dtype;
  fmt::print("{}\n", tools::merge_folders(arguments));
  return 0;
}

}  // namespace d2c::cli
