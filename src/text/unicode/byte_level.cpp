#include "unicode/byte_level.hpp"

#include <array>
#include <optional>
#include <vector>

#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

/// Printable Latin-1 stands for itself, the other bytes get U+0100 and up in their order.
constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char16_t, 256> make_characters() {
  std::array<char16_t, 256> characters{};
  char16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    characters[byte] = stands_for_itself(byte) ? static_cast<char16_t>(byte) : next++;
  }
  return characters;
}

constexpr std::array<char16_t, 256> character_of_byte = make_characters();

constexpr std::array<int, 0x144> make_bytes() {
  std::array<int, 0x144> bytes{};
  bytes.fill(-1);
  for (int byte = 0; byte < 256; ++byte)
    bytes[character_of_byte[static_cast<std::size_t>(byte)]] = byte;
  return bytes;
}

constexpr std::array<int, 0x144> byte_of_character = make_bytes();

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) {
    append_character(text, character_of_byte[static_cast<unsigned char>(byte)]);
  }
  return text;
}

std::string from_byte_level(std::string_view token) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const char32_t character = next_character(token, at);
    const int byte = character < byte_of_character.size() ? byte_of_character[character] : -1;
    if (byte < 0) return std::string(token);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace d2c::text
