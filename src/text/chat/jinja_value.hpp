#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/core/json.hpp"

namespace d2c::text::jinja {

/// A value of a template. Undefined is the JSON type `discarded`.
using Value = json::OrderedJson;

/// Why an operation on values is impossible; the evaluator adds the line.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::vector<Value> positional;
  std::map<std::string, Value> named;

  /// The positional argument `index`, else the named one, else `fallback`.
  [[nodiscard]] Value get(std::size_t index, const std::string& name, Value fallback) const;
};

[[nodiscard]] Value undefined();
[[nodiscard]] bool is_true(const Value& value);
/// As the template prints it.
[[nodiscard]] std::string to_text(const Value& value);
/// JSON in the layout of Python's json.dumps.
[[nodiscard]] std::string to_json(const Value& value);

/// `a op b` for + - * / // % ~ == != < <= > >= in.
[[nodiscard]] Value binary(std::string_view op, const Value& a, const Value& b);
[[nodiscard]] Value negate(const Value& value);

/// value[key] and value.key: undefined if there is no such member.
[[nodiscard]] Value member(const Value& value, const Value& key);
/// value[start:stop:step]; undefined bounds are the ends.
[[nodiscard]] Value slice(const Value& value, const Value& start, const Value& stop,
                          const Value& step);
/// What a loop over `value` visits.
[[nodiscard]] std::vector<Value> elements(const Value& value);

[[nodiscard]] Value call_filter(const std::string& name, const Value& value,
                                const Arguments& arguments);
[[nodiscard]] bool call_test(const std::string& name, const Value& value,
                             const Arguments& arguments);
[[nodiscard]] Value call_method(const std::string& name, const Value& value,
                                const Arguments& arguments);
[[nodiscard]] Value call_function(const std::string& name, const Arguments& arguments);

}  // namespace d2c::text::jinja
