// Runs the readers without libFuzzer, over their seeds and over mutations of these:
//   fuzz_replay --list
//   fuzz_replay --write-seeds FOLDER      as corpora for libFuzzer
//   fuzz_replay --mutations N [TARGET...]
//   fuzz_replay --input TARGET FILE
// Exits with 1 if a reader refuses a seed, or does with a mutation what no reader may do: the input
// is then left in the working folder. A crash leaves the input in d2c-fuzz-running.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "d2c/core/input_file.hpp"
#include "d2c/core/timer.hpp"

#include "input.hpp"
#include "mutation.hpp"

namespace d2c::fuzz {
namespace {

/// What libraries print on standard error, which is nothing.
class ErrorStream {
 public:
  ErrorStream() : file_(::memfd_create("stderr", MFD_CLOEXEC)), before_(::dup(STDERR_FILENO)) {
    ::dup2(file_, STDERR_FILENO);
  }
  ~ErrorStream() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(file_);
  }
  ErrorStream(const ErrorStream&) = delete;
  ErrorStream& operator=(const ErrorStream&) = delete;
  /// @return what was printed since the last call
  [[nodiscard]] std::string take() const {
    std::fflush(stderr);
    const off_t size = ::lseek(file_, 0, SEEK_END);
    std::string text(static_cast<std::size_t>(std::max<off_t>(size, 0)), '\0');
    if (size > 0) {
      text.resize(static_cast<std::size_t>(
          std::max<ssize_t>(::pread(file_, text.data(), text.size(), 0), 0)));
      static_cast<void>(::ftruncate(file_, 0) == 0);
      ::lseek(file_, 0, SEEK_SET);
    }
    return text;
  }

 private:
  int file_;
  int before_;
};

Outcome examine(const Target& target, const std::string& content) {
  constexpr double longest = 10.0;
  const Stopwatch watch;
  const ErrorStream errors;
  Outcome outcome = try_reading(target, content);
  if (const std::string printed = errors.take(); !printed.empty() && outcome.finding.empty()) {
    outcome.finding = "printed: " + printed.substr(0, 300);
  }
  if (watch.seconds() > longest && outcome.finding.empty()) {
    outcome.finding = "took " + std::to_string(watch.seconds()) + " s";
  }
  return outcome;
}

/// @return number of findings
int replay(const Target& target, int n_mutations) {
  const Stopwatch watch;
  const std::vector<std::string> seeds = target.seeds();
  int n_findings = 0;
  int n_accepted = 0;
  const auto tell = [&](const std::string& what, const std::string& content) {
    const std::string place =
        "finding-" + std::string(target.name) + "-" + std::to_string(n_findings++);
    write(place, content);
    std::printf("%s: %s\n", place.c_str(), what.c_str());
  };
  for (const std::string& seed : seeds) {
    const Outcome outcome = examine(target, seed);
    if (!outcome.finding.empty()) tell(outcome.finding, seed);
    if (!outcome.accepted && outcome.finding.empty()) {
      try {
        target.read(Input(seed));
      } catch (const std::exception& error) {
        tell(std::string("a seed is refused: ") + error.what(), seed);
      }
    }
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < n_mutations && n_findings < 20; ++i) {
    const std::string& seed = seeds[static_cast<std::size_t>(i) % seeds.size()];
    const std::string content = mutate(seed, target.is_text, random);
    write("d2c-fuzz-running", content);
    const Outcome outcome = examine(target, content);
    n_accepted += outcome.accepted ? 1 : 0;
    if (!outcome.finding.empty()) tell(outcome.finding, content);
  }
  std::printf("%-20s %zu seeds, %d mutations (%d accepted), %d findings, %.1f s\n",
              std::string(target.name).c_str(), seeds.size(), n_mutations, n_accepted, n_findings,
              watch.seconds());
  std::fflush(stdout);
  return n_findings;
}

void limit_memory() {
#ifndef D2C_SANITIZED
  const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
}

int run(const std::vector<std::string>& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "--list") {
    for (const Target& target : targets()) std::printf("%s\n", std::string(target.name).c_str());
    return 0;
  }
  if (command == "--write-seeds" && arguments.size() == 2) {
    for (const Target& target : targets()) {
      const auto folder = std::filesystem::path(arguments[1]) / target.name;
      std::filesystem::create_directories(folder);
      int n = 0;
      for (const std::string& seed : target.seeds()) {
        write(folder / ("seed-" + std::to_string(n++)), seed);
      }
    }
    return 0;
  }
  limit_memory();
  if (command == "--input" && arguments.size() == 3) {
    for (const Target& target : targets()) {
      if (target.name == arguments[1]) target.read(Input(read_text(arguments[2])));
    }
    return 0;
  }
  if (command != "--mutations" || arguments.size() < 2) {
    std::fputs(
        "fuzz_replay --list | --write-seeds FOLDER | --mutations N [TARGET...] | --input TARGET "
        "FILE\n",
        stderr);
    return 2;
  }
  int n_findings = 0;
  for (const Target& target : targets()) {
    const bool is_meant =
        std::ranges::find(arguments.begin() + 2, arguments.end(), target.name) != arguments.end();
    if (arguments.size() > 2 && !is_meant) continue;
    n_findings += replay(target, std::atoi(arguments[1].c_str()));
  }
  std::filesystem::remove("d2c-fuzz-running");
  return n_findings == 0 ? 0 : 1;
}

}  // namespace
}  // namespace d2c::fuzz

int main(int argc, char** argv) { return d2c::fuzz::run({argv + 1, argv + argc}); }
