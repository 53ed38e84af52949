#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/tools/pack.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

struct PackArguments : tools::LibraryOptions {
  bool overwrite = false;
  bool append = false;
  bool quiet = false;
  std::filesystem::path verify;
};

std::vector<Option<PackArguments>> pack_options() {
  using A = PackArguments;
  return {
      {"inputs", option::list<A, std::filesystem::path>(&A::inputs), "a manifest, or PEFT folders"},
      {"output", option::path<A>(&A::output), "library file to be made"},
      {"write-manifest", option::path<A>(&A::manifest_output),
       "also write a manifest of the same tasks that reads from the library"},
      {"model", option::path<A>(&A::model),
       "base model folder that adapters given as folders are checked against"},
      {"overwrite", option::flag<A>(&A::overwrite),
       "replace an existing library when the new one is whole"},
      {"append", option::flag<A>(&A::append),
       "add to an existing library; needs room for a second copy until it is done"},
      {"verify", option::path<A>(&A::verify),
       "pack nothing: check every adapter of this library against its checksum"},
      {"quiet", option::flag<A>(&A::quiet), "no progress lines"},
  };
}

void check_pack(PackArguments& arguments) {
  if (arguments.inputs.empty()) {
    throw UsageError({"nothing is given to be packed", "", "name a manifest or PEFT folders"});
  }
  if (arguments.output.empty()) {
    throw UsageError({"--output is missing", "the library needs a place", "give a file name"});
  }
  if (arguments.overwrite && arguments.append) {
    throw UsageError({"--overwrite and --append are both given", "", "give one of them"});
  }
  using IfExists = tools::LibraryOptions::IfExists;
  arguments.if_exists = arguments.overwrite ? IfExists::replace
                        : arguments.append  ? IfExists::append
                                            : IfExists::refuse;
  if (!arguments.quiet) {
    arguments.log = [](const std::string& text) { fmt::print(stderr, "{}\n", readable(text)); };
  }
}

}  // namespace

int pack_command(const Invocation& invocation) {
  PackArguments arguments;
  CommandLine line{
      .usage = "d2c pack MANIFEST|ADAPTER... --output LIBRARY.h5 [options]",
      .description =
          "Packs LoRA adapters into one HDF5 file, so that a job opens one file instead of "
          "thousands.\n"
          "Takes a manifest (all adapters of its tasks), or PEFT folders. A manifest reads "
          "adapters from\n"
          "a library with the field \"library\": FILE; its tasks then name adapters as the "
          "library does:\n"
          "by the last part of their folder where these differ, else by their whole path.\n\n"
          "A call that was ended half-way is finished by the same call.",
      .positional = "inputs",
      .repeating = {"inputs"}};
  line.add("Options", pack_options(), arguments);
  if (!parse(line, invocation)) return 0;
  if (!arguments.verify.empty()) {
    fmt::print("{}\n", tools::verify_library(arguments.verify));
    return 0;
  }
  check_pack(arguments);
  const tools::PackSummary summary = tools::pack(arguments);
  fmt::print("{}: {} adapters, {:.1f} MiB", arguments.output.string(), summary.n_adapters,
             static_cast<double>(summary.bytes) / (1 << 20));
  if (summary.n_resumed > 0) fmt::print(" ({} were packed before)", summary.n_resumed);
  fmt::print("\n");
  if (!arguments.manifest_output.empty()) {
    fmt::print("Manifest: {}\n", arguments.manifest_output.string());
  }
  return 0;
}

}  // namespace d2c::cli
