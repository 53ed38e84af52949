#include "normalizer.hpp"

#include <utility>
#include <vector>

#include "utf8.hpp"

namespace d2c::tokenizer {
namespace {

Normalizer make_sequence(const Field& field) {
  std::vector<Normalizer> parts;
  for (const Field& part : field.at("normalizers").items()) parts.push_back(make_normalizer(part));
  return [parts = std::move(parts)](std::string& text) {
    for (const auto& part : parts) part(text);
  };
}

Normalizer make_prepend(const Field& field) {
  return [prefix = field.at("prepend").string()](std::string& text) {
    if (!text.empty()) text.insert(0, prefix);
  };
}

Normalizer make_replace(const Field& field) {
  return [from = field.at("pattern").at("String").string(),
          to = field.at("content").string()](std::string& text) { replace_all(text, from, to); };
}

}  // namespace

Normalizer make_normalizer(const Field& field) {
  return make_part<Normalizer>(
      field, {{"Prepend", make_prepend}, {"Replace", make_replace}, {"Sequence", make_sequence}});
}

}  // namespace d2c::tokenizer
