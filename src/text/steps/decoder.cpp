#include "steps/decoder.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "d2c/text/tokenizer.hpp"

#include "steps/metaspace.hpp"
#include "steps/replacement.hpp"
#include "unicode/byte_level.hpp"
#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

Decoder sequence_decoder(const Field& field) {
  std::vector<Decoder> parts;
  for (const Field& part : field.at("decoders").items()) parts.push_back(make_decoder(part));
  return [parts = std::move(parts)](std::vector<std::string>& tokens) {
    for (const auto& part : parts) part(tokens);
  };
}

Decoder replace_decoder(const Field& field) {
  return [replacement = read_replacement(field)](std::vector<std::string>& tokens) {
    for (auto& token : tokens) replacement.apply(token);
  };
}

Decoder byte_level_decoder(const Field& /*field*/) {
  return [](std::vector<std::string>& tokens) {
    std::string bytes;
    for (const auto& token : tokens) bytes += from_byte_level(token);
    tokens = {replace_invalid_utf8(bytes)};
  };
}

/// The replacement becomes a space again; those of the first token were prepended.
Decoder metaspace_decoder(const Field& field) {
  return [metaspace = read_metaspace(field)](std::vector<std::string>& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool prepended = i == 0 && metaspace.prepend != PrependScheme::never;
      replace_all(tokens[i], metaspace.replacement, prepended ? "" : " ");
    }
  };
}

Decoder fuse_decoder(const Field& /*field*/) {
  return [](std::vector<std::string>& tokens) {
    std::string text;
    for (const auto& token : tokens) text += token;
    tokens = {std::move(text)};
  };
}

/// The byte of a token <0xHH>.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned char byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

/// A run of byte tokens becomes its text, or one U+FFFD a byte if the run is not valid UTF-8.
Decoder byte_fallback_decoder(const Field& /*field*/) {
  return [](std::vector<std::string>& tokens) {
    std::vector<std::string> decoded;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (first_invalid_utf8(bytes)) {
        decoded.insert(decoded.end(), bytes.size(), "\xEF\xBF\xBD");
      } else {
        decoded.push_back(bytes);
      }
      bytes.clear();
    };
    for (auto& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes += *byte;
      } else {
        flush();
        decoded.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(decoded);
  };
}

std::size_t count_of(const Field& field) {
  if (field.integer() < 0) field.fail({"must not be negative", "", ""});
  return static_cast<std::size_t>(field.integer());
}

/// Removes up to `start` leading and `stop` trailing copies of a character from every token.
Decoder strip_decoder(const Field& field) {
  return [content = field.at("content").character(), start = count_of(field.at("start")),
          stop = count_of(field.at("stop"))](std::vector<std::string>& tokens) {
    for (auto& token : tokens) {
      std::string_view rest = token;
      for (std::size_t i = 0; i < start && rest.starts_with(content); ++i) {
        rest.remove_prefix(content.size());
      }
      for (std::size_t i = 0; i < stop && rest.ends_with(content); ++i) {
        rest.remove_suffix(content.size());
      }
      token = std::string(rest);
    }
  };
}

}  // namespace

Decoder make_decoder(const Field& field) {
  return make_part<Decoder>(field, {{"ByteFallback", byte_fallback_decoder},
                                    {"ByteLevel", byte_level_decoder},
                                    {"Fuse", fuse_decoder},
                                    {"Metaspace", metaspace_decoder},
                                    {"Replace", replace_decoder},
                                    {"Sequence", sequence_decoder},
                                    {"Strip", strip_decoder}});
}

}  // namespace d2c::text
