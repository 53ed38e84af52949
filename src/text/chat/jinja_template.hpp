#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja_lexer.hpp"
#include "chat/jinja_value.hpp"

namespace d2c::text::jinja {

/// The variables and the output of one rendering.
struct Context {
  std::vector<std::map<std::string, Value>> scopes;  ///< the innermost is last
  std::string output;
};

using Statement = std::function<void(Context&)>;

/// A part of Jinja: output, if, for, set (of variables, members of namespaces and blocks), the
/// operators, filters, tests and methods of jinja_value. Anything else is refused by name: tags
/// when the template is read, the others when they are reached.
class Template {
 public:
  /// @throws Error
  explicit Template(std::string_view source);
  /// @throws Error
  [[nodiscard]] std::string render(std::map<std::string, Value> variables) const;

 private:
  Statement body_;
};

}  // namespace d2c::text::jinja
