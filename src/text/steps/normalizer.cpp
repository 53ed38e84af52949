#include "steps/normalizer.hpp"

#include <utility>
#include <vector>

#include "steps/growth.hpp"
#include "steps/replacement.hpp"
#include "unicode/byte_level.hpp"
#include "unicode/unicode.hpp"

namespace d2c::text {
namespace {

Normalizer make_sequence(const Field& field) {
  std::vector<Normalizer> parts;
  for (const Field& part : field.at("normalizers").items()) parts.push_back(make_normalizer(part));
  return [parts = std::move(parts)](std::string& text) {
    const GrowthLimit limit(text.size());
    for (const auto& part : parts) {
      part(text);
      limit.check(text.size(), "normalizer");
    }
  };
}

Normalizer make_prepend(const Field& field) {
  return [prefix = field.at("prepend").string()](std::string& text) {
    if (!text.empty()) text.insert(0, prefix);
  };
}

Normalizer make_replace(const Field& field) {
  return [replacement = read_replacement(field)](std::string& text) { replacement.apply(text); };
}

template <NormalForm form>
Normalizer make_form(const Field& /*field*/) {
  return [](std::string& text) { text = normalize(text, form); };
}

Normalizer make_lowercase(const Field& /*field*/) {
  return [](std::string& text) { text = lowercase(text); };
}

Normalizer make_strip(const Field& field) {
  return [left = field.boolean("strip_left", true),
          right = field.boolean("strip_right", true)](std::string& text) {
    if (right) text.resize(length_without_trailing_space(text));
    if (left) text.erase(0, leading_space(text));
  };
}

Normalizer make_byte_level(const Field& /*field*/) {
  return [](std::string& text) { text = to_byte_level(text); };
}

}  // namespace

Normalizer make_normalizer(const Field& field) {
  return make_part<Normalizer>(field, {{"ByteLevel", make_byte_level},
                                       {"Lowercase", make_lowercase},
                                       {"NFC", make_form<NormalForm::nfc>},
                                       {"NFD", make_form<NormalForm::nfd>},
                                       {"NFKC", make_form<NormalForm::nfkc>},
                                       {"NFKD", make_form<NormalForm::nfkd>},
                                       {"Prepend", make_prepend},
                                       {"Replace", make_replace},
                                       {"Sequence", make_sequence},
                                       {"Strip", make_strip}});
}

}  // namespace d2c::text
