#include "tokenizer/field.hpp"

#include <utility>

#include <fmt/format.h>

#include "unicode/utf8.hpp"

namespace d2c::text {

Field::Field(const json::Json& value, const std::filesystem::path& file, std::string name)
    : value_(&value), file_(&file), name_(std::move(name)) {}

Field Field::at(const std::string& key) const {
  std::string name = name_.empty() ? key : name_ + "." + key;
  const auto member = value_->find(key);  // end() for anything but an object
  if (member == value_->end()) {
    Field(*value_, *file_, std::move(name))
        .fail({"the field is missing", "the tokenizer cannot be built without it",
               "export the tokenizer again"});
  }
  return {*member, *file_, std::move(name)};
}

std::optional<Field> Field::find(const std::string& key) const {
  const auto member = value_->find(key);
  if (member == value_->end() || member->is_null()) return std::nullopt;
  return at(key);
}

std::vector<Field> Field::items() const {
  if (!value_->is_array()) fail({"must be an array", "", ""});
  std::vector<Field> items;
  items.reserve(value_->size());
  for (std::size_t index = 0; index < value_->size(); ++index) items.push_back(item(index));
  return items;
}

Field Field::item(std::size_t index) const {
  return {value_->at(index), *file_, fmt::format("{}[{}]", name_, index)};
}

const std::string& Field::string() const {
  if (!value_->is_string()) fail({"must be a string", "", ""});
  return value_->get_ref<const std::string&>();
}

std::int64_t Field::integer() const {
  const auto value = json::integer(*value_);
  if (!value) fail({"must be an integer", "", ""});
  return *value;
}

TokenId Field::token_id() const {
  const std::int64_t id = integer();
  if (id < 0 || !std::in_range<TokenId>(id)) fail({"is not a token id", "", ""});
  return static_cast<TokenId>(id);
}

const std::string& Field::character() const {
  const std::string& text = string();
  if (text.empty() || text.size() != character_length(text, 0)) {
    fail({"must be one character", "", ""});
  }
  return text;
}

bool Field::boolean(const std::string& key, bool fallback) const {
  const auto member = find(key);
  if (!member) return fallback;
  if (!member->value().is_boolean()) member->fail({"must be true or false", "", ""});
  return member->value().get<bool>();
}

std::string Field::describe(Message message) const {
  return InputError({*file_, name_}, std::move(message)).what();
}

void Field::fail(Message message) const { throw InputError({*file_, name_}, std::move(message)); }

}  // namespace d2c::text
