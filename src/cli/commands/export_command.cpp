#include "command_line.hpp"
#include "commands/commands.hpp"
#include "python_program.hpp"

namespace d2c::cli {
namespace {

namespace fs = std::filesystem;

struct ExportArguments {
  fs::path result;
  std::string target;
  fs::path output;
  std::vector<std::string> aliases;
  fs::path alias_file;
  fs::path model;
  std::string dtype = "f32";
};

std::vector<Option<ExportArguments>> export_options() {
  using A = ExportArguments;
  return {
      {"result", option::path(&A::result), "folder of a result, or its results.h5"},
      {"for", option::name_among(&A::target, {"peft", "vllm", "llama.cpp"}),
       "what is to load the adapters: peft (PEFT folders), vllm (PEFT folders and the command that "
       "serves them) or llama.cpp (GGUF files)",
       "SERVER"},
      {"output", option::path(&A::output), "folder to be made; must not exist", "DIR"},
      {"alias", option::list(&A::aliases),
       "another name for a task in the export; may be given several times", "TASK=NAME"},
      {"aliases", option::path(&A::alias_file), "the same as a JSON object: {\"TASK\": \"NAME\"}",
       "FILE"},
      {"model", option::path(&A::model),
       "folder of the base model (of which llama.cpp's files need config.json); without it the one "
       "of the job",
       "DIR"},
      {"dtype", option::name_among(&A::dtype, {"f32", "source"}),
       "number format of GGUF files: f32, or source (as the adapters; llama.cpp then rounds "
       "activations to it)"},
  };
}

}  // namespace

int export_command(const Invocation& invocation) {
  ExportArguments arguments;
  CommandLine line{
      .usage = "d2c export RESULT --for peft|vllm|llama.cpp -o DIR [options]",
      .description =
          "Puts the merged adapters of a result into a folder as a server wants them, with "
          "routes.json\n"
          "(which adapter serves which task, and examples with the losses that they must give) and "
          "a\n"
          "README of the commands. The files are checked against their SHA-256 first.",
      .positional = "result",
      .repeating = {"alias"},
      .required = {"result", "for", "output"}};
  line.add("Options", export_options(), arguments);
  if (!parse(line, invocation) || !speaks_for_all()) return 0;
  if (arguments.result.filename() == "results.h5") arguments.result.remove_filename();
  std::vector<std::string> words = {"--for",    arguments.target, "--result", arguments.result,
                                    "--output", arguments.output, "--dtype",  arguments.dtype};
  for (const std::string& alias : arguments.aliases) words.push_back("--alias=" + alias);
  if (!arguments.alias_file.empty()) {
    words.insert(words.end(), {"--aliases", arguments.alias_file});
  }
  if (!arguments.model.empty()) words.insert(words.end(), {"--model", arguments.model});
  become_python("export", words);
}

}  // namespace d2c::cli
