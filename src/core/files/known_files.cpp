#include "d2c/core/known_files.hpp"

#include <utility>

#include "d2c/core/error.hpp"

namespace d2c {
namespace {

const KnownFiles::Texts* known = nullptr;

}  // namespace

KnownFiles::KnownFiles(Texts texts) : texts_(std::move(texts)) {
  D2C_EXPECTS(known == nullptr);
  known = &texts_;
}

KnownFiles::~KnownFiles() { known = nullptr; }

const std::optional<std::string>* KnownFiles::find(const std::filesystem::path& file) {
  if (known == nullptr) return nullptr;
  const auto place = known->find(file);
  return place == known->end() ? nullptr : &place->second;
}

bool KnownFiles::exists(const std::filesystem::path& file) {
  if (const auto* text = find(file)) return text->has_value();
  std::error_code ignored;
  return std::filesystem::exists(file, ignored);
}

}  // namespace d2c
