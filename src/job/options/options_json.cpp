#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/json.hpp"
#include "d2c/job/option_table.hpp"

namespace d2c::job {
namespace {

json::OrderedJson json_of(const RunOption& row, const RunOptions& options) {
  std::string text = row.value.text(options);
  if (row.value.kind == OptionKind::text) return text;
  auto value = json::OrderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? json::OrderedJson(std::move(text)) : value;
}

/// The form that a value must have, where it has another.
std::string_view missed_form(OptionKind kind, const json::Json& value) {
  switch (kind) {
    case OptionKind::flag:
      return value.is_boolean() ? "" : "true or false";
    case OptionKind::integer:
      return value.is_number_integer() ? "" : "a whole number";
    case OptionKind::real:
      return value.is_number() ? "" : "a number";
    case OptionKind::text:
      return value.is_string() ? "" : "a string";
    case OptionKind::mixed:
      return value.is_number() || value.is_string() ? "" : "a number or a string";
  }
  return "";
}

/// Sets an option from its recorded value. @return what is wrong with it
std::optional<Message> read(const RunOption& row, const json::Json& value, RunOptions& options) {
  const std::string_view form = missed_form(row.value.kind, value);
  if (!form.empty()) {
    return Message{fmt::format("is {}", value.dump()), fmt::format("it must be {}", form), ""};
  }
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  // Not given then, and not given by default.
  if (text.empty() && row.value.text(options).empty()) return std::nullopt;
  return row.value.set(options, text);
}

}  // namespace

std::string to_json(const RunOptions& options) {
  json::OrderedJson value;
  for (const RunOption& row : option_table()) value[row.name] = json_of(row, options);
  return value.dump(1);
}

std::string identity_json(const RunOptions& options) {
  json::OrderedJson value;
  for (const RunOption& row : option_table()) {
    if (row.has(traits::decides_numbers)) value[row.name] = json_of(row, options);
  }
  return value.dump(1);
}

RunOptions options_from_json(const std::string& text, const std::filesystem::path& file) {
  const json::Json value = json::parse(text, file);
  const auto refuse = [&](const std::string& name, const Message& message) {
    throw InputError({file, name}, message);
  };
  if (!value.is_object()) refuse("config", {"is no object", "it holds the options of a job", ""});
  const auto table = option_table();
  for (const auto& [name, unused] : value.items()) {
    if (std::ranges::find(table, name, &RunOption::name) != table.end()) continue;
    refuse("config", {fmt::format("has the option '{}', which this d2c does not know", name),
                      "the job could not be repeated", "use the version that wrote the file"});
  }
  RunOptions options;
  for (const RunOption& row : table) {
    const auto place = value.find(row.name);
    if (place == value.end()) {
      refuse("config", {fmt::format("lacks the option '{}'", row.name),
                        "the job could not be repeated", "use the version that wrote the file"});
    }
    if (const auto problem = read(row, *place, options)) refuse(row.name, *problem);
  }
  return options;
}

}  // namespace d2c::job
