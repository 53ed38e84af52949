#include "unicode/unicode.hpp"

#include <cctype>
#include <cstdint>

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include "d2c/core/error.hpp"

#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

const icu::Normalizer2& normalizer_of(NormalForm form, UErrorCode& status) {
  switch (form) {
    case NormalForm::nfd:
      return *icu::Normalizer2::getNFDInstance(status);
    case NormalForm::nfkc:
      return *icu::Normalizer2::getNFKCInstance(status);
    case NormalForm::nfkd:
      return *icu::Normalizer2::getNFKDInstance(status);
    case NormalForm::nfc:
      break;
  }
  return *icu::Normalizer2::getNFCInstance(status);
}

}  // namespace

bool is_white_space(char32_t character) {
  return u_isUWhiteSpace(static_cast<UChar32>(character)) != 0;
}

bool is_numeric(char32_t character) {
  return (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_N_MASK) != 0;
}

bool is_punctuation(char32_t character) {
  if (character < 0x80) return std::ispunct(static_cast<int>(character)) != 0;
  return (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_P_MASK) != 0;
}

bool is_word(char32_t character) {
  const auto point = static_cast<UChar32>(character);
  constexpr std::uint32_t categories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return (U_GET_GC_MASK(point) & categories) != 0 || u_isUAlphabetic(point) != 0 ||
         u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL) != 0;
}

std::size_t length_without_trailing_space(std::string_view text) {
  while (!text.empty()) {
    const std::size_t start = last_character(text);
    std::size_t at = start;
    if (!is_white_space(next_character(text, at))) break;
    text = text.substr(0, start);
  }
  return text.size();
}

std::size_t leading_space(std::string_view text) {
  std::size_t length = 0;
  for (std::size_t at = 0; at < text.size(); length = at) {
    if (!is_white_space(next_character(text, at))) break;
  }
  return length;
}

std::string normalize(std::string_view text, NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2& normalizer = normalizer_of(form, status);
  std::string result;
  icu::StringByteSink<std::string> sink(&result, static_cast<std::int32_t>(text.size()));
  if (U_SUCCESS(status)) {
    normalizer.normalizeUTF8(0, {text.data(), static_cast<std::int32_t>(text.size())}, sink,
                             nullptr, status);
  }
  if (U_FAILURE(status)) {
    throw Error(ExitCode::failure, {},
                {fmt::format("Unicode normalization fails: {}", u_errorName(status))});
  }
  return result;
}

std::string lowercase(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    append_character(result, static_cast<char32_t>(u_tolower(static_cast<UChar32>(character))));
    // The one character whose lower case is two (SpecialCasing.txt, without conditions).
    if (character == U'\u0130') append_character(result, U'\u0307');
  }
  return result;
}

}  // namespace d2c::text
