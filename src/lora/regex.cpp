#include "regex.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "python_regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace d2c::lora {
namespace {

constexpr std::uint32_t max_steps = 1'000'000;

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

template <auto release>
struct Release {
  template <class T>
  void operator()(T* pointer) const {
    release(pointer);
  }
};
using Code = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Release<pcre2_compile_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;

}  // namespace

struct Regex::Impl {
  std::filesystem::path file;
  std::string field;
  Code code;
  MatchData data;
  MatchContext context;

  [[nodiscard]] bool run(std::string_view text, std::uint32_t options) const {
    const int result =
        pcre2_match(code.get(), units(text), text.size(), 0, options, data.get(), context.get());
    if (result >= 0) return true;
    if (result == PCRE2_ERROR_NOMATCH) return false;
    throw InputError({file, field},
                     {fmt::format("the regular expression fails on '{}'", text),
                      "matching takes too many steps", "write a simpler expression"});
  }
};

Regex::Regex(std::string_view pattern, const std::filesystem::path& file, std::string field) {
  std::string translated;
  try {
    translated = translate_python(pattern);
  } catch (const UnsupportedConstruct& construct) {
    throw InputError({file, std::move(field)},
                     {fmt::format("'{}' in the regular expression '{}' is not supported",
                                  construct.what(), pattern),
                      "PEFT matches with Python's re, which refuses it or means something else",
                      "write the expression without it"});
  }
  const CompileContext compile_context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(compile_context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  std::size_t offset = 0;
  Code code(pcre2_compile(units(translated), translated.size(), PCRE2_UTF | PCRE2_UCP, &error,
                          &offset, compile_context.get()));
  if (!code) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    throw InputError({file, std::move(field)},
                     {fmt::format("'{}' is not a valid regular expression", pattern),
                      fmt::format("at {}: {}", offset, reinterpret_cast<const char*>(text.data())),
                      "repair the expression"});
  }
  MatchData data(pcre2_match_data_create_from_pattern(code.get(), nullptr));
  MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), max_steps);
  impl_ = std::make_unique<Impl>(
      Impl{file, std::move(field), std::move(code), std::move(data), std::move(context)});
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

bool Regex::matches(std::string_view text) const {
  return impl_->run(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
}

std::optional<std::string> Regex::group_at_start(std::string_view text) const {
  if (!impl_->run(text, PCRE2_ANCHORED)) return std::nullopt;
  const std::size_t* bounds = pcre2_get_ovector_pointer(impl_->data.get());
  if (bounds[2] == PCRE2_UNSET) {
    throw InputError({impl_->file, impl_->field},
                     {fmt::format("the regular expression matches '{}' without its group", text),
                      "the group is what the number of the layer is read from",
                      "write the expression without alternatives beside the group"});
  }
  return std::string(text.substr(bounds[2], bounds[3] - bounds[2]));
}

}  // namespace d2c::lora
