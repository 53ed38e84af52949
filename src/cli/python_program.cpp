#include "python_program.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c::cli {
namespace {

namespace fs = std::filesystem;

std::string python() {
  const char* chosen = std::getenv("D2C_PYTHON");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

}  // namespace

void become_python(std::string_view name, const std::vector<std::string>& arguments) {
  const fs::path prefix = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  std::vector<std::string> words = {python(), "-B", prefix / "share/d2c/scripts" / name};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  execvp(pointers[0], pointers.data());
  throw IoError({words[0], {}}, {"cannot be started", "", "name a Python in D2C_PYTHON"},
                system_reason(errno));
}

}  // namespace d2c::cli
