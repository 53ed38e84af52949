#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex/regex.hpp"

#include <array>

#include <fmt/format.h>
#include <pcre2.h>

#include "regex/oniguruma.hpp"
#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

struct Compiled {
  std::shared_ptr<pcre2_code> code;  ///< null if the pattern is invalid
  int error = 0;
  std::size_t offset = 0;
};

Compiled compile(const std::string& pattern) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  Compiled compiled;
  compiled.code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                    &compiled.error, &compiled.offset, context.get()),
      pcre2_code_free);
  return compiled;
}

std::string error_text(int error) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

constexpr const char* why_it_matters = "the text cannot be split as the model's training text was";

}  // namespace

Regex::Regex(std::string_view pattern, const Field& field) : pattern_(pattern) {
  std::string translated;
  try {
    translated = translate_oniguruma(pattern);
  } catch (const UnsupportedConstruct& construct) {
    field.fail({fmt::format("'{}' in the regular expression '{}' is not supported",
                            construct.what(), pattern),
                why_it_matters, "write the pattern without it"});
  }
  const Compiled compiled = compile(translated);
  if (!compiled.code) {
    field.fail({fmt::format("the regular expression '{}' is not valid: {}", pattern,
                            error_text(compiled.error)),
                why_it_matters, ""});
  }
  // Where there is no just-in-time compiler, matching is interpreted and slower.
  pcre2_jit_compile(compiled.code.get(), PCRE2_JIT_COMPLETE);
  code_ = compiled.code;
}

std::vector<Range> Regex::find_all(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto match = [&](std::size_t from, std::uint32_t options) {
    return pcre2_match(code_.get(), subject, text.size(), from, options | PCRE2_NO_UTF_CHECK,
                       data.get(), nullptr);
  };

  std::vector<Range> matches;
  std::size_t from = 0;
  while (from <= text.size()) {
    int result = match(from, 0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(from, PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      throw InputError({{}, "text"},
                       {fmt::format("the regular expression '{}' fails at byte {}: {}", pattern_,
                                    from, error_text(result)),
                        why_it_matters, "split the text into shorter ones"});
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const Range found{bounds[0], bounds[1]};
    const bool is_repeat =
        found.first == found.second && !matches.empty() && matches.back().second == found.second;
    if (is_repeat) {
      from += from < text.size() ? character_length(text, from) : 1;
    } else {
      matches.push_back(found);
      from = found.second;
    }
  }
  return matches;
}

std::string escape_regex(std::string_view text) {
  std::string pattern;
  for (const char byte : text) {
    if (std::string_view(R"(\.+*?()|[]{}^$#&-~ )").find(byte) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += byte;
  }
  return pattern;
}

Regex read_pattern(const Field& field) {
  if (const auto literal = field.find("String")) {
    return {escape_regex(literal->string()), *literal};
  }
  const Field regex = field.at("Regex");
  return {regex.string(), regex};
}

}  // namespace d2c::text
