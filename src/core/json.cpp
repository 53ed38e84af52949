#include "d2c/core/json.hpp"

#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::json {
namespace {

/// Looks for the number at one place of a text and keeps how it is written.
class NumberFinder final : public nlohmann::json_sax<Json> {
 public:
  explicit NumberFinder(const Json::json_pointer& place) : place_(place) {}
  [[nodiscard]] const std::string& found() const { return found_; }

  bool null() override { return value({}); }
  bool boolean(bool /*value*/) override { return value({}); }
  bool number_integer(number_integer_t number) override { return value(std::to_string(number)); }
  bool number_unsigned(number_unsigned_t number) override { return value(std::to_string(number)); }
  bool number_float(number_float_t /*number*/, const string_t& text) override {
    return value(text);
  }
  bool string(string_t& /*text*/) override { return value({}); }
  bool binary(binary_t& /*bytes*/) override { return value({}); }
  bool start_object(std::size_t /*size*/) override { return open({}); }
  bool key(string_t& name) override {
    at_.back().key = name;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*size*/) override {
    return open({.key = {}, .index = 0, .in_list = true});
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*byte*/, const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return false;
  }

 private:
  /// A key of an object, or a place in a list.
  struct Step {
    std::string key;
    std::size_t index = 0;
    bool in_list = false;
  };

  bool open(Step first) {
    at_.push_back(std::move(first));
    return true;
  }
  bool close() {
    at_.pop_back();
    return value({});
  }
  /// Whether to go on.
  bool value(std::string text) {
    if (!text.empty()) {
      Json::json_pointer here;
      for (const Step& step : at_) {
        if (step.in_list) {
          here /= step.index;
        } else {
          here /= step.key;
        }
      }
      if (here == place_) found_ = std::move(text);
    }
    if (!at_.empty() && at_.back().in_list) ++at_.back().index;
    return found_.empty();
  }

  const Json::json_pointer& place_;
  std::vector<Step> at_;
  std::string found_;
};

/// Builds a value, and refuses what the parser's own builder takes silently: two values for one
/// key, of which it keeps the last, and values that are nested so deep that copying or printing
/// them would fill the stack. All in one pass, since vocabularies have hundreds of thousands of
/// members.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(const std::filesystem::path& file, std::int64_t line) : file_(file), line_(line) {}
  [[nodiscard]] Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t number) override { return add(number); }
  bool number_unsigned(number_unsigned_t number) override { return add(number); }
  bool number_float(number_float_t number, const string_t& /*text*/) override {
    return add(number);
  }
  bool string(string_t& text) override { return add(text); }
  bool binary(binary_t& /*bytes*/) override { return false; }  // JSON text has none
  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    auto& members = open_.back()->get_ref<Json::object_t&>();
    const auto [member, is_new] = members.emplace(name, nullptr);
    if (!is_new) {
      throw InputError({file_, name, line_},
                       {"the key appears twice", "its value is ambiguous", "remove one of them"});
    }
    member_ = &member->second;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string& /*token*/,
                   const nlohmann::json::exception& error) override {
    if (dynamic_cast<const Json::out_of_range*>(&error) != nullptr) {  // such as 1e999
      throw InputError({file_, {}, line_}, {"a number is too large", "it does not fit a double",
                                            "repair or write the file again"});
    }
    throw InputError({file_, {}, line_},
                     {fmt::format("not valid JSON at byte {}", byte), "the content cannot be read",
                      "repair or write the file again"});
  }

 private:
  template <class Value>
  bool add(Value&& value) {
    (void)place(std::forward<Value>(value));
    return true;
  }
  template <class Value>
  Json* place(Value&& value) {
    if (open_.empty()) {
      root_ = std::forward<Value>(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& elements = open_.back()->get_ref<Json::array_t&>();
      if (elements.empty()) elements.reserve(2);  // vocabularies have lists of pairs
      return &elements.emplace_back(std::forward<Value>(value));
    }
    *member_ = std::forward<Value>(value);
    return member_;
  }
  bool open(Json empty) {
    constexpr std::size_t deepest = 512;
    if (open_.size() == deepest) {
      throw InputError({file_, {}, line_}, {fmt::format("nested deeper than {} levels", deepest),
                                            "", "write the value with less nesting"});
    }
    open_.push_back(place(std::move(empty)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::filesystem::path& file_;
  std::int64_t line_;
  Json root_;
  std::vector<Json*> open_;  ///< objects and lists that are not complete, from the outermost
  Json* member_ = nullptr;   ///< of the innermost object, whose value comes next
};

}  // namespace

Json parse(std::string_view text, const std::filesystem::path& file, std::int64_t line) {
  // The parser takes a NUL byte for the end and leaves out what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw InputError({file, {}, line},
                     {fmt::format("not valid JSON at byte {}: a NUL byte", nul + 1),
                      "the content cannot be read", "repair or write the file again"});
  }
  Builder builder(file, line);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::optional<std::int64_t> integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
    return std::nullopt;
  }
  return value.get<std::int64_t>();
}

std::string number_as_written(std::string_view text, const Json::json_pointer& place) {
  NumberFinder finder(place);
  Json::sax_parse(text, &finder);
  return finder.found();
}

Json read_file(const std::filesystem::path& file) { return parse(read_text(file), file); }

}  // namespace d2c::json
