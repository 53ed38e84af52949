#include <string>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library_record.hpp"
#include "d2c/tools/pack.hpp"

namespace d2c::tools {

namespace fs = std::filesystem;

std::string verify_library(const fs::path& library) {
  const results::LibraryIndex index = results::read_library(library);
  const InputFile file(library);
  std::string first;
  std::size_t damaged = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < index.n_adapters(); ++i) {
    try {
      const results::LibraryRecord record = index.record(i);
      const lora::Adapter adapter =
          lora::read_adapter(results::read_record(file, index.name[i], record));
      if (lora::fingerprint(adapter.modules) != index.fingerprint[i]) {
        throw InputError({library, index.name[i]},
                         {"has another content than the index says", "", "pack it again"});
      }
      bytes += record.bytes();
    } catch (const Error& error) {
      if (damaged == 0) first = error.what();
      ++damaged;
    }
  }
  if (damaged > 0) {
    throw InputError({library, {}},
                     {fmt::format("{} of {} adapters are damaged", damaged, index.n_adapters()),
                      "the first: " + first, "restore the library, or pack it again"});
  }
  return fmt::format("{}: {} adapters, {:.1f} MiB, all checksums fit", library.string(),
                     index.n_adapters(), static_cast<double>(bytes) / (1 << 20));
}

}  // namespace d2c::tools
