#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "d2c/core/input_file.hpp"

/// JSON input with errors that name the file and the place. nlohmann/json is the one parser of the
/// project; it may be used wherever JSON is read or written.
namespace d2c::json {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

using d2c::read_text;

/// Parses one JSON value; duplicate object keys, trailing text and invalid UTF-8 are errors.
/// @param line  1-based line in `file` where `text` starts; 0 = the text is the whole file
/// @throws InputError that names file, line and byte
[[nodiscard]] Json parse(std::string_view text, const std::filesystem::path& file,
                         std::int64_t line = 0);

/// The value if it is an integer that 64 bits with a sign hold.
[[nodiscard]] std::optional<std::int64_t> integer(const Json& value);

/// A number as it is written in a text that `parse` has accepted: a value of more than 64 bits is
/// only near it.
[[nodiscard]] std::string number_as_written(std::string_view text, const Json::json_pointer& place);

/// read_text and parse.
[[nodiscard]] Json read_file(const std::filesystem::path& file);

}  // namespace d2c::json
