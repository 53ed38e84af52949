#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace d2c {

/// The parts of a list with commas.
inline std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == ',')
      result.emplace_back();
    else
      result.back() += c;
  }
  return result;
}

/// The value of an option that stands at args[i], which then is the last of the two; null where
/// something else stands there.
inline const std::string* value_of(const std::string& option, const std::vector<std::string>& args,
                                   std::size_t& i) {
  return args[i] == option && i + 1 < args.size() ? &args[++i] : nullptr;
}

/// main() of a benchmark. @param run  gets the arguments
template <class Run>
int bench_main(const char* name, int argc, char** argv, const Run& run) {
  try {
    run(std::vector<std::string>(argv + 1, argv + argc));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 1;
  }
}

}  // namespace d2c
