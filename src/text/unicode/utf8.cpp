#include "unicode/utf8.hpp"

#include <cstdint>
#include <optional>

#include <unicode/utf8.h>

#include "d2c/text/tokenizer.hpp"

namespace d2c::text {
namespace {

/// Value of the character at `position`, negative if ill-formed; moves `position` behind the
/// character or behind the maximal ill-formed part.
std::int32_t checked_next(std::string_view text, std::size_t& position) {
  // ICU's macros count in 32 bits; four bytes hold any character.
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data()) + position;
  const auto length = static_cast<std::int32_t>(std::min<std::size_t>(text.size() - position, 4));
  std::int32_t offset = 0;
  UChar32 character = 0;
  U8_NEXT(bytes, offset, length, character);
  position += static_cast<std::size_t>(offset);
  return character;
}

}  // namespace

std::size_t character_length(std::string_view text, std::size_t position) {
  const auto lead = static_cast<std::uint8_t>(text[position]);
  return 1 + U8_COUNT_TRAIL_BYTES(lead);
}

char32_t next_character(std::string_view text, std::size_t& position) {
  return static_cast<char32_t>(checked_next(text, position));
}

std::size_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

void append_character(std::string& text, char32_t character) {
  std::uint8_t bytes[U8_MAX_LENGTH];
  std::int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, character);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t start = at;
    const std::int32_t character = checked_next(bytes, at);
    text.append(character < 0 ? "\xEF\xBF\xBD" : bytes.substr(start, at - start));
  }
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  std::size_t found = text.find(from);
  if (found == std::string::npos) return;
  std::string replaced;
  replaced.reserve(text.size());
  std::size_t end = 0;
  for (; found != std::string::npos; found = text.find(from, end)) {
    replaced.append(text, end, found - end).append(to);
    end = found + from.size();
  }
  replaced.append(text, end);
  text = std::move(replaced);
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (static_cast<std::uint8_t>(text[at]) < 0x80) {
      ++at;
    } else if (checked_next(text, at) < 0) {
      return start;
    }
  }
  return std::nullopt;
}

}  // namespace d2c::text
