#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "d2c/core/enum_names.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

namespace d2c::text {

/// A value of tokenizer.json and its place in it, so that every error names the field.
/// Refers to the JSON document and the path: both must outlive it.
class Field {
 public:
  Field(const json::Json& value, const std::filesystem::path& file, std::string name);

  [[nodiscard]] const json::Json& value() const { return *value_; }
  /// The member `key`. @throws InputError if it is missing
  [[nodiscard]] Field at(const std::string& key) const;
  /// The member `key`; nothing if it is missing or null.
  [[nodiscard]] std::optional<Field> find(const std::string& key) const;
  /// The elements of an array.
  [[nodiscard]] std::vector<Field> items() const;
  [[nodiscard]] Field item(std::size_t index) const;

  [[nodiscard]] const std::string& string() const;
  [[nodiscard]] std::int64_t integer() const;
  [[nodiscard]] TokenId token_id() const;
  /// The one character of a string, as UTF-8.
  [[nodiscard]] const std::string& character() const;
  /// The member `key`, or `fallback` if it is missing or null.
  [[nodiscard]] bool boolean(const std::string& key, bool fallback) const;

  [[noreturn]] void fail(Message message) const;
  /// A message about this field that is no error, in the form of one.
  [[nodiscard]] std::string describe(Message message) const;

 private:
  const json::Json* value_;
  const std::filesystem::path* file_;
  std::string name_;
};

/// The value that a text stands for in a table of words.
/// @param what  the text is, for the message
template <class E, std::size_t N>
E value_of(const Field& field, const EnumNames<E, N>& names, const char* what) {
  const std::optional<E> value = names.find(field.string());
  if (value) return *value;
  field.fail({fmt::format("the {} '{}' is not known", what, field.string()), "",
              fmt::format("one of {}", fmt::join(names.words(), ", "))});
}

/// Builds the part that `field.type` names from a table of type names and factories.
/// @throws InputError that names the field and the type if the table lacks it
template <class Part>
Part make_part(const Field& field, const std::map<std::string, Part (*)(const Field&)>& table) {
  const Field type = field.at("type");
  const auto row = table.find(type.string());
  if (row != table.end()) return row->second(field);
  std::string known;
  for (const auto& [name, factory] : table) known += (known.empty() ? "" : ", ") + name;
  type.fail({"the type '" + type.string() + "' is not supported",
             "its tokens would differ from those the model was trained on", "supported: " + known});
}

}  // namespace d2c::text
