#include "chat/jinja_value.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "unicode/unicode.hpp"
#include "unicode/utf8.hpp"

namespace d2c::text::jinja {
namespace {

std::string type_name(const Value& value) {
  return value.is_discarded() ? "undefined" : value.type_name();
}

const std::string& text_of(const Value& value, std::string_view user) {
  if (!value.is_string()) {
    throw Refusal(fmt::format("'{}' needs a string, not {}", user, type_name(value)));
  }
  return value.get_ref<const std::string&>();
}

std::int64_t integer_of(const Value& value, std::string_view user) {
  if (!value.is_number_integer()) {
    throw Refusal(fmt::format("'{}' needs an integer, not {}", user, type_name(value)));
  }
  return value.get<std::int64_t>();
}

/// The characters of a string, one text each.
std::vector<Value> characters(const std::string& text) {
  std::vector<Value> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    (void)next_character(text, at);
    parts.emplace_back(text.substr(start, at - start));
  }
  return parts;
}

[[noreturn]] void refuse_operands(std::string_view op, const Value& a, const Value& b) {
  throw Refusal(
      fmt::format("the operator '{}' does not take {} and {}", op, type_name(a), type_name(b)));
}

Value divide(std::string_view op, std::int64_t a, std::int64_t b) {
  if (b == 0) throw Refusal("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  // Python rounds down.
  const std::int64_t remainder = (a % b + b) % b;
  return op == "%" ? remainder : (a - remainder) / b;
}

Value arithmetic(std::string_view op, const Value& a, const Value& b) {
  if (op == "+" && a.is_string() && b.is_string()) {
    return a.get<std::string>() + b.get<std::string>();
  }
  if (op == "+" && a.is_array() && b.is_array()) {
    Value sum = a;
    sum.insert(sum.end(), b.begin(), b.end());
    return sum;
  }
  if (!a.is_number_integer() || !b.is_number_integer()) refuse_operands(op, a, b);
  const auto x = a.get<std::int64_t>();
  const auto y = b.get<std::int64_t>();
  std::int64_t result = 0;
  bool overflows = false;
  if (op == "+") {
    overflows = __builtin_add_overflow(x, y, &result);
  } else if (op == "-") {
    overflows = __builtin_sub_overflow(x, y, &result);
  } else if (op == "*") {
    overflows = __builtin_mul_overflow(x, y, &result);
  } else {
    return divide(op, x, y);
  }
  if (overflows) throw Refusal("a number is too large");
  return result;
}

bool is_in(const Value& item, const Value& container) {
  if (container.is_string()) {
    return container.get_ref<const std::string&>().find(text_of(item, "in")) != std::string::npos;
  }
  if (container.is_object()) return item.is_string() && container.contains(item.get<std::string>());
  const auto items = elements(container);
  return std::find(items.begin(), items.end(), item) != items.end();
}

bool are_equal(const Value& a, const Value& b) {
  return a == b || (a.is_discarded() && b.is_discarded());
}

Value compare(std::string_view op, const Value& a, const Value& b) {
  if (!(a.is_number() && b.is_number()) && !(a.is_string() && b.is_string())) {
    refuse_operands(op, a, b);
  }
  if (op == "<") return a < b;
  if (op == "<=") return a <= b;
  if (op == ">") return a > b;
  return a >= b;
}

/// Python's strip, lstrip and rstrip: of white space, or of any of the given characters.
std::string strip(std::string text, const Value& set, bool left, bool right) {
  if (set.is_null()) {
    if (right) text.resize(length_without_trailing_space(text));
    if (left) text.erase(0, leading_space(text));
    return text;
  }
  auto parts = characters(text);
  const auto members = characters(text_of(set, "strip"));
  const auto is_kept = [&](const Value& part) {
    return std::find(members.begin(), members.end(), part) == members.end();
  };
  if (right) parts.erase(std::find_if(parts.rbegin(), parts.rend(), is_kept).base(), parts.end());
  if (left) parts.erase(parts.begin(), std::find_if(parts.begin(), parts.end(), is_kept));
  std::string stripped;
  for (const auto& part : parts) stripped += part.get_ref<const std::string&>();
  return stripped;
}

Value split(const std::string& text, const Value& separator, std::int64_t limit) {
  Value parts = Value::array();
  if (separator.is_null()) throw Refusal("split() without a separator is not supported");
  const std::string& mark = text_of(separator, "split");
  if (mark.empty()) throw Refusal("split() needs a separator that is not empty");
  std::size_t start = 0;
  for (std::size_t found = text.find(mark);
       found != std::string::npos && (limit < 0 || std::ssize(parts) < limit);
       found = text.find(mark, start)) {
    parts.push_back(text.substr(start, found - start));
    start = found + mark.size();
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::string ascii_case(std::string text, int (*change)(int)) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      throw Refusal("upper, capitalize and title are supported for ASCII text only");
    }
    c = static_cast<char>(change(static_cast<unsigned char>(c)));
  }
  return text;
}

std::string capitalize(const std::string& text) {
  std::string result = lowercase(text);
  if (!result.empty()) result[0] = ascii_case(result.substr(0, 1), std::toupper)[0];
  return result;
}

Value items_of(const Value& value) {
  Value items = Value::array();
  if (value.is_discarded()) return items;
  if (!value.is_object()) throw Refusal("'items' needs a mapping, not " + type_name(value));
  for (const auto& [key, item] : value.items()) items.push_back(Value::array({key, item}));
  return items;
}

std::string join(const Value& value, const Arguments& arguments) {
  const std::string separator = to_text(arguments.get(0, "d", ""));
  std::string text;
  bool is_first = true;
  for (const Value& element : elements(value)) {
    if (!is_first) text += separator;
    text += to_text(element);
    is_first = false;
  }
  return text;
}

std::int64_t length(const Value& value) { return std::ssize(elements(value)); }

Value to_array(std::vector<Value> values) {
  Value array = Value::array();
  for (auto& value : values) array.push_back(std::move(value));
  return array;
}

Arguments behind(const Arguments& arguments, std::size_t count) {
  Arguments rest = arguments;
  const std::size_t removed = std::min(count, rest.positional.size());
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(removed));
  return rest;
}

/// select, reject (by the element) and selectattr, rejectattr (by a member of it).
Value choose(const Value& value, const Arguments& arguments, bool by_member, bool keep) {
  const std::size_t name_at = by_member ? 1 : 0;
  const Value test = arguments.get(name_at, "", Value());
  std::vector<Value> chosen;
  for (const Value& element : elements(value)) {
    const Value tested =
        by_member ? member(element, arguments.get(0, "attribute", Value())) : element;
    const bool passes =
        test.is_null() ? is_true(tested)
                       : call_test(text_of(test, "select"), tested, behind(arguments, name_at + 1));
    if (passes == keep) chosen.push_back(element);
  }
  return to_array(std::move(chosen));
}

Value map(const Value& value, const Arguments& arguments) {
  std::vector<Value> mapped;
  const auto attribute = arguments.named.find("attribute");
  for (const Value& element : elements(value)) {
    mapped.push_back(attribute != arguments.named.end()
                         ? member(element, attribute->second)
                         : call_filter(text_of(arguments.get(0, "", Value()), "map"), element,
                                       behind(arguments, 1)));
  }
  return to_array(std::move(mapped));
}

Value default_of(const Value& value, const Arguments& arguments) {
  const bool for_false = is_true(arguments.get(1, "boolean", false));
  const bool is_missing = value.is_discarded() || (for_false && !is_true(value));
  return is_missing ? arguments.get(0, "default_value", "") : value;
}

Value tojson(const Value& value, const Arguments& arguments) {
  if (value.is_discarded()) throw Refusal("'tojson' needs a value, not undefined");
  const Value indent = arguments.get(0, "indent", Value());
  if (indent.is_null()) return to_json(value);
  return value.dump(static_cast<int>(integer_of(indent, "tojson")));
}

Value replace(const std::string& text, const Arguments& arguments) {
  std::string replaced = text;
  replace_all(replaced, text_of(arguments.get(0, "old", Value()), "replace"),
              text_of(arguments.get(1, "new", Value()), "replace"));
  return replaced;
}

Value range(const Arguments& arguments) {
  const bool one = arguments.positional.size() == 1;
  const auto start = one ? 0 : integer_of(arguments.get(0, "", Value()), "range");
  const auto stop = integer_of(arguments.get(one ? 0 : 1, "", Value()), "range");
  const auto step = integer_of(arguments.get(2, "", 1), "range");
  constexpr std::int64_t kMost = 100'000;
  if (step == 0 || std::abs(static_cast<double>(stop) - static_cast<double>(start)) > kMost) {
    throw Refusal("range() has no step or too many numbers");
  }
  Value numbers = Value::array();
  for (auto i = start; step > 0 ? i < stop : i > stop; i += step) numbers.push_back(i);
  return numbers;
}

using Filter = Value (*)(const Value&, const Arguments&);

const std::map<std::string, Filter>& filters() {
  static const std::map<std::string, Filter> kFilters = {
      {"capitalize",
       [](const Value& v, const Arguments&) -> Value { return capitalize(to_text(v)); }},
      {"count", [](const Value& v, const Arguments&) -> Value { return length(v); }},
      {"d", default_of},
      {"default", default_of},
      {"first",
       [](const Value& v, const Arguments&) {
         const auto all = elements(v);
         return all.empty() ? undefined() : all.front();
       }},
      {"items", [](const Value& v, const Arguments&) { return items_of(v); }},
      {"join", [](const Value& v, const Arguments& a) -> Value { return join(v, a); }},
      {"last",
       [](const Value& v, const Arguments&) {
         const auto all = elements(v);
         return all.empty() ? undefined() : all.back();
       }},
      {"length", [](const Value& v, const Arguments&) -> Value { return length(v); }},
      {"list", [](const Value& v, const Arguments&) { return to_array(elements(v)); }},
      {"lower", [](const Value& v, const Arguments&) -> Value { return lowercase(to_text(v)); }},
      {"map", map},
      {"reject", [](const Value& v, const Arguments& a) { return choose(v, a, false, false); }},
      {"rejectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, false); }},
      {"replace", [](const Value& v, const Arguments& a) { return replace(to_text(v), a); }},
      {"reverse",
       [](const Value& v, const Arguments&) { return slice(v, undefined(), undefined(), -1); }},
      {"safe", [](const Value& v, const Arguments&) { return v; }},
      {"select", [](const Value& v, const Arguments& a) { return choose(v, a, false, true); }},
      {"selectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, true); }},
      {"string", [](const Value& v, const Arguments&) -> Value { return to_text(v); }},
      {"tojson", tojson},
      {"trim",
       [](const Value& v, const Arguments& a) -> Value {
         return strip(to_text(v), a.get(0, "chars", Value()), true, true);
       }},
      {"upper",
       [](const Value& v, const Arguments&) -> Value {
         return ascii_case(to_text(v), std::toupper);
       }},
  };
  return kFilters;
}

using Test = bool (*)(const Value&, const Arguments&);

bool equals(const Value& value, const Arguments& arguments) {
  return are_equal(value, arguments.get(0, "", undefined()));
}

const std::map<std::string, Test>& tests() {
  static const std::map<std::string, Test> kTests = {
      {"==", equals},
      {"boolean", [](const Value& v, const Arguments&) { return v.is_boolean(); }},
      {"defined", [](const Value& v, const Arguments&) { return !v.is_discarded(); }},
      {"eq", equals},
      {"equalto", equals},
      {"even", [](const Value& v, const Arguments&) { return integer_of(v, "even") % 2 == 0; }},
      {"false", [](const Value& v, const Arguments&) { return v == false; }},
      {"in",
       [](const Value& v, const Arguments& a) { return is_in(v, a.get(0, "", undefined())); }},
      {"integer", [](const Value& v, const Arguments&) { return v.is_number_integer(); }},
      {"iterable",
       [](const Value& v, const Arguments&) {
         return v.is_array() || v.is_object() || v.is_string() || v.is_discarded();
       }},
      {"mapping", [](const Value& v, const Arguments&) { return v.is_object(); }},
      {"ne", [](const Value& v, const Arguments& a) { return !equals(v, a); }},
      {"none", [](const Value& v, const Arguments&) { return v.is_null(); }},
      {"number", [](const Value& v, const Arguments&) { return v.is_number() || v.is_boolean(); }},
      {"odd", [](const Value& v, const Arguments&) { return integer_of(v, "odd") % 2 != 0; }},
      {"sequence", [](const Value& v,
                      const Arguments&) { return v.is_array() || v.is_object() || v.is_string(); }},
      {"string", [](const Value& v, const Arguments&) { return v.is_string(); }},
      {"true", [](const Value& v, const Arguments&) { return v == true; }},
      {"undefined", [](const Value& v, const Arguments&) { return v.is_discarded(); }},
  };
  return kTests;
}

using TextMethod = Value (*)(const std::string&, const Arguments&);

const std::map<std::string, TextMethod>& text_methods() {
  static const std::map<std::string, TextMethod> kMethods = {
      {"capitalize", [](const std::string& t, const Arguments&) -> Value { return capitalize(t); }},
      {"endswith",
       [](const std::string& t, const Arguments& a) -> Value {
         return t.ends_with(text_of(a.get(0, "", Value()), "endswith"));
       }},
      {"join",
       [](const std::string& t, const Arguments& a) -> Value {
         return join(a.get(0, "", Value()), {{t}, {}});
       }},
      {"lower", [](const std::string& t, const Arguments&) -> Value { return lowercase(t); }},
      {"lstrip",
       [](const std::string& t, const Arguments& a) -> Value {
         return strip(t, a.get(0, "", Value()), true, false);
       }},
      {"replace", replace},
      {"rstrip",
       [](const std::string& t, const Arguments& a) -> Value {
         return strip(t, a.get(0, "", Value()), false, true);
       }},
      {"split",
       [](const std::string& t, const Arguments& a) {
         return split(t, a.get(0, "sep", Value()), integer_of(a.get(1, "maxsplit", -1), "split"));
       }},
      {"startswith",
       [](const std::string& t, const Arguments& a) -> Value {
         return t.starts_with(text_of(a.get(0, "", Value()), "startswith"));
       }},
      {"strip",
       [](const std::string& t, const Arguments& a) -> Value {
         return strip(t, a.get(0, "", Value()), true, true);
       }},
      {"upper",
       [](const std::string& t, const Arguments&) -> Value { return ascii_case(t, std::toupper); }},
  };
  return kMethods;
}

Value keys_or_values(const Value& value, bool keys) {
  Value result = Value::array();
  for (const auto& [key, item] : value.items()) result.push_back(keys ? Value(key) : item);
  return result;
}

}  // namespace

Value Arguments::get(std::size_t index, const std::string& name, Value fallback) const {
  if (index < positional.size()) return positional[index];
  const auto entry = named.find(name);
  return entry == named.end() ? fallback : entry->second;
}

Value undefined() { return Value(Value::value_t::discarded); }

bool is_true(const Value& value) {
  switch (value.type()) {
    case Value::value_t::boolean:
      return value.get<bool>();
    case Value::value_t::string:
      return !value.get_ref<const std::string&>().empty();
    case Value::value_t::array:
    case Value::value_t::object:
      return !value.empty();
    case Value::value_t::null:
    case Value::value_t::discarded:
      return false;
    default:
      return value != 0;
  }
}

std::string to_text(const Value& value) {
  if (value.is_discarded()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number()) return value.dump();
  throw Refusal(fmt::format("an {} cannot be printed", type_name(value)));
}

std::string to_json(const Value& value) {
  std::string text;
  if (value.is_array()) {
    for (const Value& item : value) text += (text.empty() ? "" : ", ") + to_json(item);
    return "[" + text + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      text += (text.empty() ? "" : ", ") + Value(key).dump() + ": " + to_json(item);
    }
    return "{" + text + "}";
  }
  return value.dump();
}

Value binary(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return are_equal(a, b);
  if (op == "!=") return !are_equal(a, b);
  if (op == "~") return to_text(a) + to_text(b);
  if (op == "in") return is_in(a, b);
  if (op.front() == '<' || op.front() == '>') return compare(op, a, b);
  return arithmetic(op, a, b);
}

Value negate(const Value& value) { return -integer_of(value, "-"); }

Value member(const Value& value, const Value& key) {
  if (value.is_discarded()) {
    throw Refusal(fmt::format("'{}' is read from an undefined value", to_text(key)));
  }
  if (value.is_object() && key.is_string()) {
    const auto found = value.find(key.get_ref<const std::string&>());
    return found == value.end() ? undefined() : *found;
  }
  if ((value.is_array() || value.is_string()) && key.is_number_integer()) {
    const auto all = elements(value);
    auto index = key.get<std::int64_t>();
    if (index < 0) index += std::ssize(all);
    if (index < 0 || index >= std::ssize(all)) return undefined();
    return all[static_cast<std::size_t>(index)];
  }
  return undefined();
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step) {
  const auto all = elements(value);
  const std::int64_t size = std::ssize(all);
  const auto is_given = [](const Value& bound) {
    return !bound.is_discarded() && !bound.is_null();
  };
  const std::int64_t stride = is_given(step) ? integer_of(step, "slice") : 1;
  if (stride == 0) throw Refusal("a slice needs a step that is not zero");
  const std::int64_t low = stride > 0 ? 0 : -1;
  const std::int64_t high = stride > 0 ? size : size - 1;
  const auto bound = [&](const Value& given, std::int64_t fallback) {
    if (!is_given(given)) return fallback;
    const std::int64_t index = integer_of(given, "slice");
    return std::clamp(index < 0 ? index + size : index, low, high);
  };
  const std::int64_t begin = bound(start, stride > 0 ? low : high);
  const std::int64_t end = bound(stop, stride > 0 ? high : low);
  std::vector<Value> chosen;
  for (std::int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
    chosen.push_back(all[static_cast<std::size_t>(i)]);
  }
  if (!value.is_string()) return to_array(std::move(chosen));
  return join(to_array(std::move(chosen)), {});
}

std::vector<Value> elements(const Value& value) {
  if (value.is_string()) return characters(value.get_ref<const std::string&>());
  if (value.is_array()) return {value.begin(), value.end()};
  if (value.is_discarded()) return {};
  if (!value.is_object()) throw Refusal(type_name(value) + " has no elements");
  return elements(keys_or_values(value, true));
}

Value call_filter(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto row = filters().find(name);
  if (row == filters().end()) throw Refusal("the filter '" + name + "' is not supported");
  return row->second(value, arguments);
}

bool call_test(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto row = tests().find(name);
  if (row == tests().end()) throw Refusal("the test '" + name + "' is not supported");
  return row->second(value, arguments);
}

Value call_method(const std::string& name, const Value& value, const Arguments& arguments) {
  if (value.is_string()) {
    const auto row = text_methods().find(name);
    if (row != text_methods().end()) return row->second(value.get<std::string>(), arguments);
  }
  if (value.is_object()) {
    if (name == "items") return items_of(value);
    if (name == "keys" || name == "values") return keys_or_values(value, name == "keys");
    if (name == "get") {
      const Value found = member(value, arguments.get(0, "", Value()));
      return found.is_discarded() ? arguments.get(1, "", Value()) : found;
    }
  }
  throw Refusal(fmt::format("the method '{}' of {} is not supported", name, type_name(value)));
}

Value call_function(const std::string& name, const Arguments& arguments) {
  if (name == "raise_exception") {
    throw Refusal("the template refuses the conversation: " +
                  to_text(arguments.get(0, "message", "")));
  }
  if (name == "range") return range(arguments);
  if (name == "namespace" || name == "dict") return Value(arguments.named);
  throw Refusal("the function '" + name + "' is not supported");
}

}  // namespace d2c::text::jinja
