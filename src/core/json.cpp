#include "d2c/core/json.hpp"

#include <cerrno>
#include <fstream>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::json {

std::string read_text(const std::filesystem::path& file) {
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    throw InputError({file, {}}, {"is a folder", "a file is needed here", "check the path"});
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    throw IoError(
        {file}, {"cannot be opened", "it is needed as input", "check the path and its permissions"},
        system_reason(errno));
  }
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) {
    throw IoError({file}, {"cannot be read to its end", "", "check the file system"},
                  system_reason(errno));
  }
  return text;
}

Json parse(std::string_view text, const std::filesystem::path& file, std::int64_t line) {
  // nlohmann/json keeps the last of duplicate keys silently; a config with two values for one key
  // has no single meaning, so it is refused.
  std::vector<std::set<std::string>> keys;
  // Values are copied and printed by recursion, so their depth is bounded.
  constexpr int kDeepest = 512;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepest) {
      throw InputError({file, {}, line}, {fmt::format("nested deeper than {} levels", kDeepest), "",
                                          "write the value with less nesting"});
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      auto key = value.get<std::string>();
      if (!keys.back().insert(key).second) {
        throw InputError({file, key, line},
                         {"the key appears twice", "its value is ambiguous", "remove one of them"});
      }
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    throw InputError({file, {}, line},
                     {fmt::format("not valid JSON at byte {}", error.byte),
                      "the content cannot be read", "repair or write the file again"});
  } catch (const Json::out_of_range&) {  // thrown for numbers such as 1e999
    throw InputError({file, {}, line}, {"a number is too large", "it does not fit a double",
                                        "repair or write the file again"});
  }
}

Json read_file(const std::filesystem::path& file) { return parse(read_text(file), file); }

}  // namespace d2c::json
