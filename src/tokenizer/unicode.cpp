#include "unicode.hpp"

#include <unicode/uchar.h>

namespace d2c::tokenizer {

bool is_white_space(char32_t character) {
  return u_isUWhiteSpace(static_cast<UChar32>(character)) != 0;
}

bool is_word(char32_t character) {
  const auto point = static_cast<UChar32>(character);
  constexpr std::uint32_t categories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return (U_GET_GC_MASK(point) & categories) != 0 || u_isUAlphabetic(point) != 0 ||
         u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL) != 0;
}

}  // namespace d2c::tokenizer
