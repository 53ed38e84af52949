#include "d2c/results/reader.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"
#include "python_program.hpp"

namespace d2c::cli {
namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  fs::path result;
  fs::path output;
  fs::path figures;
};

}  // namespace

int report_command(const Invocation& invocation) {
  ReportArguments arguments;
  CommandLine line{.usage = "d2c report RESULT [-o report.html] [--figures DIR]",
                   .description =
                       "Makes a page to look at from a result: what the clusters are worth, which "
                       "tasks they serve\n"
                       "badly, and how to deploy them. One file that needs no network. Python with "
                       "matplotlib,\n"
                       "Jinja2 and h5py draws it.",
                   .positional = "result",
                   .required = {"result"}};
  using A = ReportArguments;
  line.add("Options",
           std::vector<Option<A>>{
               {"result", option::path(&A::result), "results.h5 of a job, or its folder"},
               {"output", option::path(&A::output), "the page; report.html beside the results"},
               {"figures", option::path(&A::figures), "folder for the figures as SVG and PDF"}},
           arguments);
  if (!parse(line, invocation) || !speaks_for_all()) return 0;
  arguments.result = results::results_file(arguments.result);
  if (arguments.output.empty()) arguments.output = arguments.result.parent_path() / "report.html";
  static_cast<void>(results::read_results(arguments.result));
  std::vector<std::string> words = {arguments.result, arguments.output};
  if (!arguments.figures.empty()) words.push_back(arguments.figures);
  become_python("report", words);
}

}  // namespace d2c::cli
