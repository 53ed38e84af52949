#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex/unicode_class.hpp"

#include <array>
#include <map>
#include <memory>
#include <mutex>

#include <fmt/format.h>
#include <pcre2.h>
#include <unicode/uniset.h>

#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

using Code = std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)>;

Code compile_class(const std::string& pattern) {
  int error = 0;
  std::size_t offset = 0;
  return {pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                        PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr),
          pcre2_code_free};
}

/// A set by ICU's notation; of no use if ICU does not know it.
struct IcuSet {
  explicit IcuSet(const std::string& pattern)
      : set(icu::UnicodeString::fromUTF8(pattern), status) {}

  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeSet set;
};

std::string ranges(const icu::UnicodeSet& set) {
  std::string text;
  for (std::int32_t i = 0; i < set.getRangeCount(); ++i) {
    text += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", set.getRangeStart(i), set.getRangeEnd(i));
  }
  return text;
}

/// Characters that PCRE2's tables have not heard of.
const icu::UnicodeSet& young() {
  static const icu::UnicodeSet set = [] {
    std::array<char, 32> version{};
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version.data());
    const std::string text(version.data());
    return IcuSet(fmt::format("[[:Assigned:]-[:age={}:]]", text.substr(0, text.rfind('.')))).set;
  }();
  return set;
}

/// Those of `candidates` that PCRE2 counts to the property.
icu::UnicodeSet by_pcre2(const std::string& name, const icu::UnicodeSet& candidates) {
  const Code code = compile_class(fmt::format("\\p{{{}}}+", name));
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  std::string subject;
  for (std::int32_t i = 0; i < candidates.getRangeCount(); ++i) {
    for (UChar32 c = candidates.getRangeStart(i); c <= candidates.getRangeEnd(i); ++c) {
      append_character(subject, static_cast<char32_t>(c));
    }
  }
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  icu::UnicodeSet found;
  std::size_t end = 0;
  while (pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), end,
                     PCRE2_NO_UTF_CHECK, data.get(), nullptr) > 0) {
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    end = bounds[1];
    for (std::size_t at = bounds[0]; at < end;) {
      found.add(static_cast<UChar32>(next_character(subject, at)));
    }
  }
  return found;
}

struct UnicodeClass {
  std::string members;
  std::string others;
};

UnicodeClass make_class(const std::string& name) {
  const UnicodeClass plain{fmt::format("\\p{{{}}}", name), fmt::format("\\P{{{}}}", name)};
  const bool is_script = name.starts_with("sc:");
  const IcuSet known(fmt::format("\\p{{{}}}", is_script ? "sc=" + name.substr(3) : name));
  if (U_FAILURE(known.status) || !knows_property(name)) return plain;
  // Categories and scripts of old characters do not change; other properties may.
  const IcuSet all("[[:Any:]-[:Cs:]]");
  const icu::UnicodeSet& candidates = is_script || name.size() <= 2 ? young() : all.set;
  const icu::UnicodeSet theirs = by_pcre2(name, candidates);
  icu::UnicodeSet missing = known.set;
  missing.retainAll(candidates).removeAll(theirs);
  icu::UnicodeSet surplus = theirs;
  surplus.removeAll(known.set);
  if (missing.isEmpty() && surplus.isEmpty()) return plain;
  icu::UnicodeSet others = all.set;
  others.removeAll(known.set);
  if (!surplus.isEmpty()) return {ranges(known.set), ranges(others)};
  return {plain.members + ranges(missing), ranges(others)};
}

const UnicodeClass& class_of(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, UnicodeClass> classes;
  const std::scoped_lock lock(mutex);
  const auto known = classes.find(name);
  return known != classes.end() ? known->second
                                : classes.emplace(name, make_class(name)).first->second;
}

}  // namespace

bool knows_property(const std::string& name) {
  return compile_class(fmt::format("\\p{{{}}}", name)) != nullptr;
}

std::string members_of(const std::string& name) { return class_of(name).members; }
std::string others_than(const std::string& name) { return class_of(name).others; }

}  // namespace d2c::text
