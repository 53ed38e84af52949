#include "config/config_reader.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::model {

ConfigReader::ConfigReader(json::Json object, std::filesystem::path file, std::string prefix)
    : object_(std::move(object)), file_(std::move(file)), prefix_(std::move(prefix)) {
  if (!object_.is_object()) {
    throw InputError({file_, prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1)},
                     {"is not a JSON object", "", "use the model's own config.json"});
  }
}

bool ConfigReader::has(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

bool ConfigReader::is_null(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

const json::Json* ConfigReader::find(const std::string& key) {
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void ConfigReader::fail(const std::string& key, std::string what, std::string why,
                        std::string fix) const {
  throw InputError({file_, prefix_ + key}, {std::move(what), std::move(why), std::move(fix)});
}

void ConfigReader::wrong_type(const std::string& key, std::string_view wanted) const {
  fail(key, fmt::format("is {}", object_.at(key).dump()), fmt::format("{} is needed", wanted),
       "use the model's own config.json");
}

Index ConfigReader::not_negative(const std::string& key, Index fallback) {
  constexpr Index largest = std::numeric_limits<std::int32_t>::max();
  const json::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) wrong_type(key, "an integer");
  const bool fits = value->is_number_unsigned()
                        ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(largest)
                        : value->get<Index>() >= 0 && value->get<Index>() <= largest;
  if (!fits) wrong_type(key, fmt::format("an integer from 0 to {}", largest));
  return value->get<Index>();
}

Index ConfigReader::positive(const std::string& key, Index fallback) {
  const Index value = not_negative(key, fallback);
  if (value == 0) wrong_type(key, "a positive integer");
  return value;
}

Index ConfigReader::positive(const std::string& key) {
  if (find(key) == nullptr) {
    fail(key, "is missing", "the model's shape depends on it", "use the model's own config.json");
  }
  return positive(key, 1);
}

double ConfigReader::positive_number(const std::string& key, double fallback) {
  const json::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) wrong_type(key, "a number");
  const double number = value->get<double>();
  if (!(number > 0.0) || !std::isfinite(number)) wrong_type(key, "a positive number");
  return number;
}

double ConfigReader::positive_number(const std::string& key) {
  if (find(key) == nullptr) {
    fail(key, "is missing", "the computation depends on it", "use the model's own config.json");
  }
  return positive_number(key, 1.0);
}

bool ConfigReader::flag(const std::string& key, bool fallback) {
  const json::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(key, "true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& key, const std::string& fallback) {
  const json::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) wrong_type(key, "a string");
  return value->get<std::string>();
}

std::vector<std::string> ConfigReader::texts(const std::string& key) {
  std::vector<std::string> result;
  const json::Json* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_array()) wrong_type(key, "a list of strings");
  for (const json::Json& element : *value) {
    if (!element.is_string()) wrong_type(key, "a list of strings");
    result.push_back(element.get<std::string>());
  }
  return result;
}

std::vector<double> ConfigReader::numbers(const std::string& key) {
  std::vector<double> result;
  const json::Json* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_array()) wrong_type(key, "a list of numbers");
  for (const json::Json& element : *value) {
    if (!element.is_number()) wrong_type(key, "a list of numbers");
    result.push_back(element.get<double>());
  }
  return result;
}

ConfigReader ConfigReader::object(const std::string& key, const json::Json& otherwise) {
  const json::Json* value = find(key);
  return {value == nullptr ? otherwise : *value, file_, prefix_ + key + "."};
}

void ConfigReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) known_.emplace(key);
}

void ConfigReader::refuse_the_rest() const {
  for (const auto& [key, value] : object_.items()) {
    const bool says_nothing = value.is_null() || (value.is_boolean() && !value.get<bool>());
    if (says_nothing || known_.contains(key)) continue;
    fail(key, fmt::format("is {}, which is not supported", value.dump()),
         "it may change what the model computes",
         "use a supported model, or remove the key if it does not matter for inference");
  }
}

}  // namespace d2c::model
