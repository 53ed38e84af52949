#include "steps/normalizer.hpp"

#include <utility>
#include <vector>

#include "steps/replacement.hpp"
#include "tokenizer/growth.hpp"
#include "unicode/byte_level.hpp"
#include "unicode/unicode.hpp"

namespace d2c::text {
namespace {

Normalizer sequence_normalizer(const Field& field) {
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

Normalizer prepend_normalizer(const Field& field) {
  return [prefix = field.at("prepend").string()](std::string& text) {
    if (!text.empty()) text.insert(0, prefix);
  };
}

Normalizer replace_normalizer(const Field& field) {
  return [replacement = read_replacement(field)](std::string& text) { replacement.apply(text); };
}

template <NormalForm form>
Normalizer form_normalizer(const Field& /*field*/) {
  return [](std::string& text) { text = normalize(text, form); };
}

Normalizer lowercase_normalizer(const Field& /*field*/) {
  return [](std::string& text) { text = lowercase(text); };
}

Normalizer strip_normalizer(const Field& field) {
  return [left = field.boolean("strip_left", true),
          right = field.boolean("strip_right", true)](std::string& text) {
    if (right) text.resize(length_without_trailing_space(text));
    if (left) text.erase(0, leading_space(text));
  };
}

Normalizer byte_level_normalizer(const Field& /*field*/) {
  return [](std::string& text) { text = to_byte_level(text); };
}

}  // namespace

Normalizer make_normalizer(const Field& field) {
  return make_part<Normalizer>(field, {{"ByteLevel", byte_level_normalizer},
                                       {"Lowercase", lowercase_normalizer},
                                       {"NFC", form_normalizer<NormalForm::nfc>},
                                       {"NFD", form_normalizer<NormalForm::nfd>},
                                       {"NFKC", form_normalizer<NormalForm::nfkc>},
                                       {"NFKD", form_normalizer<NormalForm::nfkd>},
                                       {"Prepend", prepend_normalizer},
                                       {"Replace", replace_normalizer},
                                       {"Sequence", sequence_normalizer},
                                       {"Strip", strip_normalizer}});
}

}  // namespace d2c::text
