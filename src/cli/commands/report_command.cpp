#include <array>
#include <cerrno>
#include <cstdlib>

#include <unistd.h>

#include "d2c/core/error.hpp"
#include "d2c/results/reader.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path result;
  fs::path output;
  fs::path figures;
};

/// The Python that draws: D2C_PYTHON, else the system's, else the first in PATH.
std::string python() {
  const char* chosen = std::getenv("D2C_PYTHON");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

/// The folder of the program that makes the page: it lies at the same place relative to d2c where
/// d2c is built and where it is installed.
fs::path program() {
  const fs::path prefix = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  return prefix / "share" / "d2c" / "report";
}

/// Becomes the Python program, whose exit codes are ours.
[[noreturn]] void draw(const Arguments& arguments) {
  std::array<std::string, 6> words = {
      python(), "-B", program(), arguments.result, arguments.output, arguments.figures};
  std::array<char*, 7> pointers{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].empty()) pointers[i] = words[i].data();
  }
  execvp(pointers[0], pointers.data());
  throw IoError({words[0], {}}, {"cannot be started", "", "name a Python in D2C_PYTHON"},
                system_reason(errno));
}

}  // namespace

int report_command(const Invocation& invocation) {
  Arguments arguments;
  CommandLine line{.usage = "d2c report RESULT [-o report.html] [--figures DIR]",
                   .description =
                       "Makes a page to look at from a result: what the clusters are worth, which "
                       "tasks they serve\n"
                       "badly, and how to deploy them. One file that needs no network. Python with "
                       "matplotlib,\n"
                       "Jinja2 and h5py draws it.",
                   .positional = "result",
                   .required = {"result"}};
  using A = Arguments;
  line.add("Options",
           std::vector<Option<A>>{
               {"result", option::path(&A::result), "results.h5 of a job, or its folder"},
               {"output", option::path(&A::output), "the page; report.html beside the results"},
               {"figures", option::path(&A::figures), "folder for the figures as SVG and PDF"}},
           arguments);
  if (!parse(line, invocation) || !speaks_for_all()) return 0;
  if (fs::is_directory(arguments.result)) arguments.result /= "results.h5";
  if (arguments.output.empty()) arguments.output = arguments.result.parent_path() / "report.html";
  static_cast<void>(results::read_results(arguments.result));
  draw(arguments);
}

}  // namespace d2c::cli
