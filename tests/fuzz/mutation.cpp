#include "mutation.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <vector>

namespace d2c::fuzz {
namespace {

/// Part of a text.
struct Token {
  std::size_t begin = 0;
  std::size_t size = 0;
};

std::size_t below(std::size_t n, std::mt19937_64& random) { return n == 0 ? 0 : random() % n; }

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' ||
         c == '+';
}

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) i += text[i] == '\\' ? 1 : 0;
      i = std::min(i + 1, text.size());
    } else if (is_word(text[i])) {
      while (i < text.size() && is_word(text[i])) ++i;
    } else {
      ++i;
    }
    if (std::isspace(static_cast<unsigned char>(text[begin])) == 0) {
      tokens.push_back({begin, i - begin});
    }
  }
  return tokens;
}

const std::vector<std::string>& odd_values() {
  static const std::vector<std::string> values = {"0",
                                                  "-1",
                                                  "1",
                                                  "2",
                                                  "1.5",
                                                  "-0.0",
                                                  "1e-320",
                                                  "1e308",
                                                  "1e999",
                                                  "255",
                                                  "65536",
                                                  "2147483647",
                                                  "2147483648",
                                                  "-2147483649",
                                                  "4294967296",
                                                  "9223372036854775807",
                                                  "-9223372036854775808",
                                                  "18446744073709551615",
                                                  "99999999999999999999999",
                                                  "1e19",
                                                  "0x10",
                                                  "NaN",
                                                  "-Infinity",
                                                  "null",
                                                  "true",
                                                  "false",
                                                  "[]",
                                                  "{}",
                                                  "[[]]",
                                                  "[null]",
                                                  "{\"a\":1,\"a\":2}",
                                                  "\"\"",
                                                  "\"\\u0000\"",
                                                  "\"\\u001b[2J\\r\\n\"",
                                                  "\"\\u202e\\u2028\"",
                                                  "\"\\ud800\"",
                                                  "\"\xff\xfe\"",
                                                  "\"../..\"",
                                                  "\"/dev/zero\"",
                                                  "\"(a+)+$\"",
                                                  "\"(\"",
                                                  "\"[\"",
                                                  "\"\\\\\"",
                                                  "\".*\"",
                                                  "\"(?R)\"",
                                                  "\" \"",
                                                  "\"0\"",
                                                  "\"-1\"",
                                                  "\"inf\"",
                                                  "\"nan\"",
                                                  "\"\xf0\x9f\xa6\x84\"",
                                                  "\"" + std::string(5000, 'a') + "\"",
                                                  std::string(400, '9'),
                                                  std::string(600, '['),
                                                  std::string("\0", 1),
                                                  "\n",
                                                  ",",
                                                  ":",
                                                  "}",
                                                  "]"};
  return values;
}

void mutate_text(std::string& text, std::mt19937_64& random) {
  std::vector<Token> tokens = tokens_of(text);
  // Mostly values change, so that most texts can still be parsed.
  if (below(4, random) > 0) {
    std::erase_if(tokens, [&](const Token& token) {
      return text[token.begin] != '"' && !is_word(text[token.begin]);
    });
  }
  const Token token = tokens.empty() ? Token{} : tokens[below(tokens.size(), random)];
  const Token other = tokens.empty() ? Token{} : tokens[below(tokens.size(), random)];
  switch (below(8, random)) {
    case 0:
    case 1:
    case 2:
      text.replace(token.begin, token.size, odd_values()[below(odd_values().size(), random)]);
      break;
    case 3:
      text.replace(token.begin, token.size, std::string(text, other.begin, other.size));
      break;
    case 4: {  // a few tokens are left out, or stand twice
      const std::size_t begin = std::min(token.begin, other.begin);
      const std::size_t size =
          std::min<std::size_t>(std::max(token.begin, other.begin) - begin, 200);
      if (below(2, random) == 0) {
        text.erase(begin, size);
      } else {
        text.insert(begin, std::string(text, begin, size));
      }
      break;
    }
    case 5:
      text.insert(token.begin, odd_values()[below(odd_values().size(), random)]);
      break;
    case 6:
      text.erase(token.begin, token.size);
      break;
    default:
      if (below(4, random) == 0) {
        text.resize(below(text.size() + 1, random));
      } else if (!text.empty()) {
        text[below(text.size(), random)] = static_cast<char>(random());
      }
  }
}

void mutate_bytes(std::string& bytes, std::mt19937_64& random) {
  constexpr std::array<std::uint64_t, 12> odd = {0,          1,          2,          0x7F,
                                                 0xFF,       0x7FFF,     0x7FFFFFFF, 0x80000000,
                                                 0xFFFFFFFF, 1ULL << 40, 1ULL << 63, ~0ULL};
  if (bytes.empty()) return;
  // Half of the changes are in the first part, where files describe themselves.
  const std::size_t end =
      below(2, random) == 0 ? std::min<std::size_t>(bytes.size(), 4096) : bytes.size();
  const std::size_t place = below(end, random);
  switch (below(8, random)) {
    case 0:
    case 1:
    case 2: {
      const std::size_t width = std::size_t{1} << below(4, random);
      const std::size_t begin = place / width * width;
      const std::uint64_t value = odd[below(odd.size(), random)];
      std::memcpy(bytes.data() + begin, &value, std::min(width, bytes.size() - begin));
      break;
    }
    case 3:
    case 4:
      bytes[place] = static_cast<char>(random());
      break;
    case 5: {
      const std::size_t size = std::min(below(64, random) + 1, bytes.size() - place);
      const std::string part = bytes.substr(below(bytes.size() - size + 1, random), size);
      bytes.replace(place, size, part);
      break;
    }
    case 6:
      bytes[place] = static_cast<char>(bytes[place] + (below(2, random) == 0 ? 1 : -1));
      break;
    default:
      if (below(4, random) == 0) {
        bytes.resize(place);
      } else {
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(place),
                    std::min<std::size_t>(below(256, random), bytes.size() - place), '\0');
      }
  }
}

}  // namespace

std::string mutate(std::string_view content, bool is_text, std::mt19937_64& random) {
  std::string changed(content);
  for (std::size_t n = 1 + below(3, random); n > 0; --n) {
    if (is_text) {
      mutate_text(changed, random);
    } else {
      mutate_bytes(changed, random);
    }
  }
  return changed;
}

}  // namespace d2c::fuzz
