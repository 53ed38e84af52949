#pragma once

#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::model {

/// Typed access to one JSON object of config.json, which keeps account of the keys that were read:
/// what nobody asked for is refused at the end. A key whose value is null counts as absent.
class ConfigReader {
 public:
  ConfigReader(json::Json object, std::filesystem::path file, std::string prefix = "");

  [[nodiscard]] bool has(const std::string& key) const;

  /// Whether the key is there with the value null.
  [[nodiscard]] bool is_null(const std::string& key) const;

  /// @throws InputError if the key is absent, of another type, or not positive
  [[nodiscard]] Index positive(const std::string& key);
  [[nodiscard]] Index positive(const std::string& key, Index fallback);
  [[nodiscard]] double positive_number(const std::string& key);
  [[nodiscard]] double positive_number(const std::string& key, double fallback);
  [[nodiscard]] Index not_negative(const std::string& key, Index fallback);
  [[nodiscard]] bool flag(const std::string& key, bool fallback);
  [[nodiscard]] std::string text(const std::string& key, const std::string& fallback);
  [[nodiscard]] std::vector<std::string> texts(const std::string& key);
  /// @return  empty if the key is absent
  [[nodiscard]] std::vector<double> numbers(const std::string& key);
  /// A nested object; the other one if the key is absent.
  [[nodiscard]] ConfigReader object(const std::string& key,
                                    const json::Json& otherwise = json::Json::object());

  /// Keys that may be there and change nothing.
  void ignore(std::initializer_list<std::string_view> keys);
  /// @throws InputError naming the first key that was neither read nor ignored and whose value is
  /// neither null nor false
  void refuse_the_rest() const;

  [[noreturn]] void fail(const std::string& key, std::string what, std::string why,
                         std::string fix) const;

 private:
  /// The value, or nothing if absent or null; marks the key as read.
  [[nodiscard]] const json::Json* find(const std::string& key);
  [[noreturn]] void wrong_type(const std::string& key, std::string_view wanted) const;

  json::Json object_;
  std::filesystem::path file_;
  std::string prefix_;  ///< "rope_scaling." of a nested object
  std::set<std::string, std::less<>> known_;
};

}  // namespace d2c::model
