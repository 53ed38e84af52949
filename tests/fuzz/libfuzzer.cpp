// The readers for libFuzzer: fuzz_readers --target=NAME CORPUS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "input.hpp"

namespace {

const d2c::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view option = "--target=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (!argument.starts_with(option)) continue;
    for (const auto& target : d2c::fuzz::targets()) {
      if (target.name == argument.substr(option.size())) chosen = &target;
    }
  }
  if (chosen != nullptr) return 0;
  std::fputs("fuzz_readers --target=NAME CORPUS, with a name of fuzz_replay --list\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto outcome = d2c::fuzz::try_reading(*chosen, {reinterpret_cast<const char*>(data), size});
  if (outcome.finding.empty()) return 0;
  std::fprintf(stderr, "%s\n", outcome.finding.c_str());
  std::abort();
}
