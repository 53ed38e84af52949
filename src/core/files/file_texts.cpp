#include "d2c/core/file_texts.hpp"

#include <utility>

#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"

namespace d2c {

FileTexts::FileTexts(Known known) : known_(std::move(known)) {}

bool FileTexts::exists(const std::filesystem::path& file) const {
  if (const auto place = known_.find(file); place != known_.end()) return place->second.has_value();
  return is_present(file);
}

std::string FileTexts::read(const std::filesystem::path& file) const {
  const auto place = known_.find(file);
  if (place != known_.end() && place->second.has_value()) return *place->second;
  return json::read_text(file);
}

}  // namespace d2c
