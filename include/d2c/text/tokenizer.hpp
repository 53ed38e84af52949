#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/core/file_texts.hpp"

namespace d2c::text {

using TokenId = std::int32_t;

/// The files beside tokenizer.json that say how text becomes tokens.
inline constexpr std::array files_beside_tokenizer = {
    "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "additional_chat_templates/tool_use.jinja"};

/// A Hugging Face tokenizer.json (BPE models), with what tokenizer_config.json beside it says about
/// BOS and EOS where transformers heeds that: it rebuilds the post-processor of some classes
/// (LlamaTokenizer and the like) from add_bos_token and add_eos_token.
class Tokenizer {
 public:
  /// @param path  tokenizer.json or the folder that holds it
  /// @throws InputError for anything invalid or not supported, naming the field
  static Tokenizer load(const std::filesystem::path& path, const FileTexts& texts = {});
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text` (valid UTF-8), added tokens recognised.
  /// @param special_tokens  apply the post-processor's template (BOS and the like)
  /// @throws InputError for invalid UTF-8 (names the byte)
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, bool special_tokens) const;
  /// The `eos_token` of tokenizer_config.json, if the tokenizer knows it.
  [[nodiscard]] std::optional<TokenId> eos() const;
  /// What is read otherwise than it is written; a line each.
  [[nodiscard]] const std::vector<std::string>& warnings() const;
  /// Ids the post-processor puts before a single sequence (usually BOS); often empty.
  [[nodiscard]] const std::vector<TokenId>& prefix() const;
  /// Text of `ids`; ids without a token have no text.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  [[nodiscard]] std::optional<TokenId> id_of(std::string_view token) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Byte offset of the first byte that is not valid UTF-8; nothing if the text is valid.
[[nodiscard]] std::optional<std::size_t> first_invalid_utf8(std::string_view text);

}  // namespace d2c::text
