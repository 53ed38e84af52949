#include "d2c/results/library_record.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_name(const fs::path& library, const std::string& name,
                              const LibraryIndex& index) {
  std::string known;
  for (std::size_t i = 0; i < std::min<std::size_t>(index.name.size(), 3); ++i) {
    known += (known.empty() ? "" : ", ") + index.name[i];
  }
  throw InputError({library, name},
                   {"is not an adapter of this library",
                    fmt::format("it holds {}: {}{}", index.name.size(), known,
                                index.name.size() > 3 ? ", ..." : ""),
                    "correct the name, or add the adapter with `d2c pack --append`"});
}

}  // namespace

std::vector<LibraryRecord> find_records(const fs::path& library,
                                        const std::vector<std::string>& names) {
  const LibraryIndex index = read_library(library);
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < index.name.size(); ++i) place.emplace(index.name[i], i);
  std::vector<LibraryRecord> records;
  records.reserve(names.size());
  for (const std::string& name : names) {
    const auto found = place.find(name);
    if (found == place.end()) refuse_name(library, name, index);
    records.push_back(index.record(found->second));
  }
  return records;
}

std::vector<std::byte> read_record_bytes(const InputFile& library, const std::string& name,
                                         const LibraryRecord& record) {
  std::vector<std::byte> bytes = library.read(record.begin, record.bytes());
  if (crc32(bytes) != record.checksum) {
    throw InputError({library.file(), name}, {"is damaged", "its checksum does not fit its content",
                                              "restore the library, or pack it again"});
  }
  return bytes;
}

lora::AdapterFiles read_record(const InputFile& library, const std::string& name,
                               const LibraryRecord& record) {
  std::vector<std::byte> bytes = read_record_bytes(library, name, record);
  lora::AdapterFiles files;
  files.folder = library.file() / name;
  files.config.assign(reinterpret_cast<const char*>(bytes.data()), record.config_bytes);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(record.tensors_begin));
  files.tensors = std::move(bytes);
  return files;
}

lora::AdapterFiles read_adapter_at(const fs::path& place) {
  const std::string text = place.string();
  const std::size_t colons = text.rfind("::");
  std::error_code ignored;
  if (colons == std::string::npos || fs::is_directory(place, ignored)) {
    return lora::read_adapter_files(place);
  }
  const fs::path library = text.substr(0, colons);
  const std::string name = text.substr(colons + 2);
  const LibraryRecord record = find_records(library, {name}).front();
  return read_record(InputFile(library), name, record);
}

}  // namespace d2c::results
