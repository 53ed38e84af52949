#include "chat/jinja_template.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace d2c::text::jinja {
namespace {

using Kind = Token::Kind;
using Expression = std::function<Value(Context&)>;

Value look_up(const Context& context, const std::string& name) {
  for (auto scope = context.scopes.rbegin(); scope != context.scopes.rend(); ++scope) {
    if (const auto entry = scope->find(name); entry != scope->end()) return entry->second;
  }
  return undefined();
}

/// Adds the line to a refusal.
template <class Work>
auto located(int line, const Work& work) {
  try {
    return work();
  } catch (const Refusal& refusal) {
    throw Error(line, refusal.what());
  }
}

Statement in_order(std::vector<Statement> statements) {
  return [statements = std::move(statements)](Context& context) {
    for (const auto& statement : statements) statement(context);
  };
}

struct ArgumentList {
  std::vector<Expression> positional;
  std::map<std::string, Expression> named;

  [[nodiscard]] Arguments evaluate(Context& context) const {
    Arguments arguments;
    for (const auto& value : positional) arguments.positional.push_back(value(context));
    for (const auto& [name, value] : named) arguments.named[name] = value(context);
    return arguments;
  }
};

/// Recursive descent; every rule gives a function that evaluates what it has read.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Statement run() {
    Statement body = statements({});
    if (peek().kind != Kind::end) throw Error(peek().line, "the tag has no beginning");
    return body;
  }

 private:
  // ---- tokens

  [[nodiscard]] const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& next() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }

  [[nodiscard]] bool is(Kind kind, std::string_view text, std::size_t ahead = 0) const {
    return peek(ahead).kind == kind && peek(ahead).text == text;
  }
  bool take(Kind kind, std::string_view text) {
    if (!is(kind, text)) return false;
    ++at_;
    return true;
  }
  bool take_symbol(std::string_view text) { return take(Kind::symbol, text); }
  bool take_name(std::string_view text) { return take(Kind::name, text); }

  [[noreturn]] void unexpected() const {
    const Token& token = peek();
    throw Error(token.line, "'" + token.text + "' is not expected or not supported here");
  }
  void expect_symbol(std::string_view text) {
    if (!take_symbol(text)) unexpected();
  }
  std::string expect_name() {
    if (peek().kind != Kind::name) unexpected();
    return next().text;
  }
  void expect_block_end() {
    if (peek().kind != Kind::block_end) unexpected();
    ++at_;
  }

  /// Nested brackets and blocks are evaluated by recursion: their depth is bounded.
  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) {
      constexpr int kDeepest = 200;
      if (++parser_.depth_ > kDeepest) throw Error(parser_.peek().line, "nested too deeply");
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ~Depth() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  // ---- statements

  /// Up to the block that begins with one of `ends`; that block's name is left to read.
  Statement statements(const std::set<std::string>& ends) {
    const Depth depth(*this);
    std::vector<Statement> parts;
    while (peek().kind != Kind::end) {
      const Token& token = next();
      if (token.kind == Kind::text) {
        parts.push_back([text = token.text](Context& context) { context.output += text; });
      } else if (token.kind == Kind::output_begin) {
        parts.push_back(output());
      } else {
        if (ends.contains(peek().text)) return in_order(std::move(parts));
        parts.push_back(block());
      }
    }
    if (!ends.empty()) throw Error(peek().line, "'" + *ends.begin() + "' is missing");
    return in_order(std::move(parts));
  }

  Statement output() {
    const int line = peek().line;
    Expression value = expression();
    if (peek().kind != Kind::output_end) unexpected();
    ++at_;
    return [=](Context& context) {
      context.output += located(line, [&] { return to_text(value(context)); });
    };
  }

  Statement block() {
    const int line = peek().line;
    const std::string tag = expect_name();
    if (tag == "if") return if_block();
    if (tag == "for") return for_block();
    if (tag == "set") return set_block();
    if (tag == "generation") return plain_block("endgeneration");
    throw Error(line, "the tag '" + tag + "' is not expected or not supported");
  }

  /// Only marks a part of the template.
  Statement plain_block(const std::string& end) {
    expect_block_end();
    Statement body = statements({end});
    end_block(end);
    return body;
  }

  void end_block(std::string_view name) {
    if (!take_name(name)) unexpected();
    expect_block_end();
  }

  Statement if_block() {
    const Depth depth(*this);
    Expression condition = expression();
    expect_block_end();
    Statement body = statements({"elif", "else", "endif"});
    Statement otherwise = [](Context&) {};
    if (take_name("elif")) {
      otherwise = if_block();
    } else if (take_name("else")) {
      expect_block_end();
      otherwise = statements({"endif"});
      end_block("endif");
    } else {
      end_block("endif");
    }
    return
        [=](Context& context) { is_true(condition(context)) ? body(context) : otherwise(context); };
  }

  Statement for_block() {
    const int line = peek().line;
    std::vector<std::string> names = {expect_name()};
    while (take_symbol(",")) names.push_back(expect_name());
    if (!take_name("in")) unexpected();
    Expression sequence = disjunction();
    Expression filter = take_name("if") ? expression() : [](Context&) { return Value(true); };
    expect_block_end();
    Statement body = statements({"else", "endfor"});
    Statement otherwise = [](Context&) {};
    if (take_name("else")) {
      expect_block_end();
      otherwise = statements({"endfor"});
    }
    end_block("endfor");

    return [=](Context& context) {
      std::vector<Value> chosen;
      const auto all = located(line, [&] { return elements(sequence(context)); });
      for (const Value& element : all) {
        context.scopes.push_back(located(line, [&] { return unpack(names, element); }));
        if (is_true(filter(context))) chosen.push_back(element);
        context.scopes.pop_back();
      }
      for (std::size_t i = 0; i < chosen.size(); ++i) {
        context.scopes.push_back(unpack(names, chosen[i]));
        context.scopes.back()["loop"] = loop_variable(chosen, i);
        body(context);
        context.scopes.pop_back();
      }
      if (chosen.empty()) otherwise(context);
    };
  }

  static std::map<std::string, Value> unpack(const std::vector<std::string>& names,
                                             const Value& element) {
    if (names.size() == 1) return {{names[0], element}};
    const auto values = elements(element);
    if (values.size() != names.size()) throw Refusal("the loop variables do not fit the elements");
    std::map<std::string, Value> variables;
    for (std::size_t i = 0; i < names.size(); ++i) variables[names[i]] = values[i];
    return variables;
  }

  static Value loop_variable(const std::vector<Value>& chosen, std::size_t i) {
    return {{"index", i + 1},
            {"index0", i},
            {"revindex", chosen.size() - i},
            {"revindex0", chosen.size() - i - 1},
            {"first", i == 0},
            {"last", i + 1 == chosen.size()},
            {"length", chosen.size()},
            {"previtem", i > 0 ? chosen[i - 1] : undefined()},
            {"nextitem", i + 1 < chosen.size() ? chosen[i + 1] : undefined()}};
  }

  Statement set_block() {
    const int line = peek().line;
    const std::string name = expect_name();
    const std::optional<std::string> key =
        take_symbol(".") ? std::optional(expect_name()) : std::nullopt;
    Expression value;
    if (take_symbol("=")) {
      value = expression();
      expect_block_end();
    } else {
      value = captured(plain_block("endset"));
    }
    if (!key) {
      return [=](Context& context) { context.scopes.back()[name] = value(context); };
    }
    return [=](Context& context) {
      const Value result = value(context);
      for (auto scope = context.scopes.rbegin(); scope != context.scopes.rend(); ++scope) {
        const auto entry = scope->find(name);
        if (entry == scope->end()) continue;
        if (!entry->second.is_object()) break;
        entry->second[*key] = result;
        return;
      }
      throw Error(line, "'" + name + "' is not a namespace");
    };
  }

  /// The output of a block as a value.
  static Expression captured(Statement body) {
    return [body = std::move(body)](Context& context) -> Value {
      std::string outer = std::exchange(context.output, "");
      body(context);
      return std::exchange(context.output, std::move(outer));
    };
  }

  // ---- expressions, from the weakest operator to the strongest

  Expression expression() {
    const Depth depth(*this);
    Expression value = disjunction();
    while (take_name("if")) {
      Expression condition = disjunction();
      Expression otherwise =
          take_name("else") ? expression() : Expression([](Context&) { return undefined(); });
      value = [=](Context& context) {
        return is_true(condition(context)) ? value(context) : otherwise(context);
      };
    }
    return value;
  }

  Expression disjunction() {
    Expression left = conjunction();
    while (take_name("or")) {
      Expression right = conjunction();
      left = [=](Context& context) {
        Value value = left(context);
        return is_true(value) ? value : right(context);
      };
    }
    return left;
  }

  Expression conjunction() {
    Expression left = negation();
    while (take_name("and")) {
      Expression right = negation();
      left = [=](Context& context) {
        Value value = left(context);
        return is_true(value) ? right(context) : value;
      };
    }
    return left;
  }

  Expression negation() {
    if (!take_name("not")) return comparison();
    const Depth depth(*this);
    Expression value = negation();
    return [=](Context& context) -> Value { return !is_true(value(context)); };
  }

  /// a < b == c means a < b and b == c.
  Expression comparison() {
    struct Step {
      std::string op;
      bool negated;
      Expression right;
    };
    const int line = peek().line;
    Expression first = sum();
    std::vector<Step> steps;
    while (true) {
      const bool negated = is(Kind::name, "not") && is(Kind::name, "in", 1);
      if (negated) ++at_;
      static const std::set<std::string> kSymbols = {"==", "!=", "<", "<=", ">", ">="};
      const bool is_symbol = peek().kind == Kind::symbol && kSymbols.contains(peek().text);
      if (!is_symbol && !is(Kind::name, "in")) break;
      std::string op = next().text;
      steps.push_back({std::move(op), negated, sum()});
    }
    if (steps.empty()) return first;
    return [=](Context& context) -> Value {
      Value left = first(context);
      for (const Step& step : steps) {
        Value value = step.right(context);
        const bool holds = located(line, [&] { return is_true(binary(step.op, left, value)); });
        if (holds == step.negated) return false;
        left = std::move(value);
      }
      return true;
    };
  }

  Expression sum() {
    return left_to_right({"+", "-"}, [this] { return concatenation(); });
  }
  Expression concatenation() {
    return left_to_right({"~"}, [this] { return product(); });
  }
  Expression product() {
    return left_to_right({"*", "/", "//", "%"}, [this] { return unary(); });
  }

  template <class Operand>
  Expression left_to_right(const std::set<std::string>& operators, const Operand& operand) {
    Expression left = operand();
    while (peek().kind == Kind::symbol && operators.contains(peek().text)) {
      const Token token = next();
      Expression right = operand();
      left = [=](Context& context) {
        const Value a = left(context);
        const Value b = right(context);
        return located(token.line, [&] { return binary(token.text, a, b); });
      };
    }
    return left;
  }

  /// A sign binds weaker than members and calls, stronger than filters and tests.
  Expression unary() {
    const Depth depth(*this);
    return filtered(signed_operand());
  }

  Expression signed_operand() {
    const int line = peek().line;
    if (take_symbol("-")) {
      const Depth depth(*this);
      Expression value = signed_operand();
      return
          [=](Context& context) { return located(line, [&] { return negate(value(context)); }); };
    }
    return postfix(primary());
  }

  Expression postfix(Expression value) {
    while (true) {
      const int line = peek().line;
      if (take_symbol(".")) {
        if (peek().kind != Kind::name && peek().kind != Kind::number) unexpected();
        const Token key = next();
        if (key.kind == Kind::name && take_symbol("(")) {
          value = call(line, [=](Context& context, const Arguments& arguments) {
            return call_method(key.text, value(context), arguments);
          });
        } else {
          const Value name = key.kind == Kind::name ? Value(key.text) : number(key);
          value = [=](Context& context) {
            return located(line, [&] { return member(value(context), name); });
          };
        }
      } else if (take_symbol("[")) {
        value = subscript(line, value);
      } else {
        return value;
      }
    }
  }

  /// Reads the arguments; `work` gets their values.
  template <class Work>
  Expression call(int line, Work work) {
    ArgumentList list = arguments();
    return [=](Context& context) {
      const Arguments values = list.evaluate(context);
      return located(line, [&] { return work(context, values); });
    };
  }

  /// Behind the opening bracket.
  ArgumentList arguments() {
    ArgumentList list;
    while (!take_symbol(")")) {
      if (peek().kind == Kind::name && is(Kind::symbol, "=", 1)) {
        const std::string name = next().text;
        ++at_;
        list.named[name] = expression();
      } else {
        list.positional.push_back(expression());
      }
      if (!is(Kind::symbol, ")")) expect_symbol(",");
    }
    return list;
  }

  Expression subscript(int line, const Expression& value) {
    const auto bound = [this]() -> Expression {
      if (is(Kind::symbol, ":") || is(Kind::symbol, "]")) {
        return [](Context&) { return undefined(); };
      }
      return expression();
    };
    Expression start = bound();
    if (take_symbol("]")) {
      return [=](Context& context) {
        return located(line, [&] { return member(value(context), start(context)); });
      };
    }
    expect_symbol(":");
    Expression stop = bound();
    Expression step = take_symbol(":") ? bound() : Expression([](Context&) { return undefined(); });
    expect_symbol("]");
    return [=](Context& context) {
      return located(line, [&] {
        return slice(value(context), start(context), stop(context), step(context));
      });
    };
  }

  /// value | filter(...) and value is [not] test(...).
  Expression filtered(Expression value) {
    while (true) {
      const int line = peek().line;
      if (take_symbol("|")) {
        const std::string name = expect_name();
        ArgumentList list = take_symbol("(") ? arguments() : ArgumentList{};
        value = [=](Context& context) {
          const Value input = value(context);
          const Arguments values = list.evaluate(context);
          return located(line, [&] { return call_filter(name, input, values); });
        };
      } else if (take_name("is")) {
        const bool negated = take_name("not");
        const std::string name = expect_name();
        ArgumentList list = test_arguments();
        value = [=](Context& context) -> Value {
          const Value input = value(context);
          const Arguments values = list.evaluate(context);
          return located(line, [&] { return call_test(name, input, values) != negated; });
        };
      } else {
        return value;
      }
    }
  }

  /// A test may take one argument without brackets: x is equalto 3.
  ArgumentList test_arguments() {
    if (take_symbol("(")) return arguments();
    static const std::set<std::string> kOperators = {"else", "or", "and", "is", "if", "not", "in"};
    const bool has_argument = peek().kind == Kind::string || peek().kind == Kind::number ||
                              (peek().kind == Kind::name && !kOperators.contains(peek().text)) ||
                              is(Kind::symbol, "[");
    if (!has_argument) return {};
    return {{postfix(primary())}, {}};
  }

  static Value number(const Token& token) {
    return token.text.find('.') == std::string::npos ? Value(std::stoll(token.text))
                                                     : Value(std::stod(token.text));
  }

  Expression primary() {
    const Token token = next();
    switch (token.kind) {
      case Kind::string: {
        std::string text = token.text;
        while (peek().kind == Kind::string) text += next().text;
        return [text](Context&) -> Value { return text; };
      }
      case Kind::number:
        return [value = number(token)](Context&) { return value; };
      case Kind::name:
        return named(token);
      case Kind::symbol:
        if (token.text == "(") return bracket();
        if (token.text == "[") return list("]");
        if (token.text == "{") return dictionary();
        break;
      default:
        break;
    }
    --at_;
    unexpected();
  }

  Expression named(const Token& token) {
    static const std::map<std::string, Value> kConstants = {{"true", true},    {"True", true},
                                                            {"false", false},  {"False", false},
                                                            {"none", Value()}, {"None", Value()}};
    if (const auto row = kConstants.find(token.text); row != kConstants.end()) {
      return [value = row->second](Context&) { return value; };
    }
    if (take_symbol("(")) {
      return call(token.line, [name = token.text](Context&, const Arguments& arguments) {
        return call_function(name, arguments);
      });
    }
    return [name = token.text](Context& context) { return look_up(context, name); };
  }

  /// (value) or a tuple.
  Expression bracket() {
    if (take_symbol(")")) return [](Context&) { return Value::array(); };
    Expression first = expression();
    if (take_symbol(")")) return first;
    expect_symbol(",");
    Expression rest = list(")");
    return [=](Context& context) {
      return binary("+", Value::array({first(context)}), rest(context));
    };
  }

  /// Elements up to `end`.
  Expression list(std::string_view end) {
    std::vector<Expression> items;
    while (!take_symbol(end)) {
      items.push_back(expression());
      if (!is(Kind::symbol, end)) expect_symbol(",");
    }
    return [=](Context& context) {
      Value array = Value::array();
      for (const auto& item : items) array.push_back(item(context));
      return array;
    };
  }

  Expression dictionary() {
    std::vector<std::pair<Expression, Expression>> items;
    const int line = peek().line;
    while (!take_symbol("}")) {
      Expression key = expression();
      expect_symbol(":");
      items.emplace_back(std::move(key), expression());
      if (!is(Kind::symbol, "}")) expect_symbol(",");
    }
    return [=](Context& context) {
      Value object = Value::object();
      for (const auto& item : items) {
        object[located(line, [&] { return to_text(item.first(context)); })] = item.second(context);
      }
      return object;
    };
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Template::Template(std::string_view source) : body_(Parser(tokenize(source)).run()) {}

std::string Template::render(std::map<std::string, Value> variables) const {
  Context context;
  context.scopes.push_back(std::move(variables));
  body_(context);
  return std::move(context.output);
}

}  // namespace d2c::text::jinja
