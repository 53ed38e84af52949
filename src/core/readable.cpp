#include "d2c/core/readable.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

namespace d2c {
namespace {

constexpr char32_t not_utf8 = 0xFFFFFFFF;

struct Character {
  char32_t code = not_utf8;
  std::size_t bytes = 1;
};

/// The first character. @pre the text is not empty
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const std::size_t bytes = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || bytes > text.size()) return {};
  char32_t code = byte(0) & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  constexpr std::array<char32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  if (code < least[bytes] || code > 0x10FFFF || is_surrogate) return {};
  return {code, bytes};
}

/// Controls, separators of lines, marks and overrides of direction, and what is not seen at all.
/// Joiners (U+200C, U+200D) belong to the spelling of several scripts.
bool is_shown_as_it_is(char32_t code) {
  constexpr auto hidden = std::to_array<std::pair<char32_t, char32_t>>({{0x00, 0x1F},
                                                                        {0x7F, 0x9F},
                                                                        {0xAD, 0xAD},
                                                                        {0x61C, 0x61C},
                                                                        {0x180E, 0x180E},
                                                                        {0x200B, 0x200B},
                                                                        {0x200E, 0x200F},
                                                                        {0x2028, 0x202E},
                                                                        {0x2060, 0x206F},
                                                                        {0xFEFF, 0xFEFF},
                                                                        {0xFFF9, 0xFFFB},
                                                                        {0xE0000, 0xE007F},
                                                                        {not_utf8, not_utf8}});
  return std::ranges::none_of(
      hidden, [&](const auto& range) { return code >= range.first && code <= range.second; });
}

std::string escaped(Character character, std::string_view bytes) {
  switch (character.code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (character.code == not_utf8) return fmt::format("\\x{:02x}", std::uint8_t(bytes.front()));
  const auto code = static_cast<std::uint32_t>(character.code);
  return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
}

/// Readable text of at most about `most` bytes from the start of `text`.
std::string beginning(std::string_view text, std::size_t most) {
  std::string shown;
  while (!text.empty() && shown.size() < most) {
    const Character character = first_of(text);
    const std::string_view bytes = text.substr(0, character.bytes);
    shown += is_shown_as_it_is(character.code) ? std::string(bytes) : escaped(character, bytes);
    text.remove_prefix(character.bytes);
  }
  return shown;
}

/// The last `bytes` bytes, without the rest of a character that was cut.
std::string_view ending(std::string_view text, std::size_t bytes) {
  text.remove_prefix(text.size() - bytes);
  while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0) == 0x80) {
    text.remove_prefix(1);
  }
  return text;
}

}  // namespace

std::string readable(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    std::string whole = beginning(text, 6 * most);
    if (whole.size() <= most) return whole;
    // What escapes have made longer may still be cut below.
  }
  // The end tells what is wrong with a value that a message begins with.
  const std::size_t tail = std::min(most / 3, text.size() / 3);
  const std::string_view last = ending(text, tail);
  const std::string head = beginning(text.substr(0, text.size() - last.size()), most - tail);
  std::string end = beginning(last, 6 * tail);
  if (end.size() > tail) end = std::string(ending(end, tail));
  return head + " ... " + end;
}

bool is_readable(std::string_view text) {
  while (!text.empty()) {
    const Character character = first_of(text);
    if (!is_shown_as_it_is(character.code)) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

}  // namespace d2c
