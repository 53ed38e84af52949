#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/lora/config.hpp"

#include "module_kind.hpp"
#include "regex.hpp"

namespace d2c::lora {
namespace {

using Form = ModuleSelector::Form;

bool is_named(const std::vector<std::string>& names, const std::string& module) {
  return std::ranges::any_of(names, [&](const std::string& name) {
    return module == name || module.ends_with("." + name);
  });
}

template <class Value>
using PatternRows = std::vector<std::pair<Regex, Value>>;

template <class Value>
PatternRows<Value> compile(const std::vector<std::pair<std::string, Value>>& pattern,
                           const AdapterConfig& config, const char* field) {
  PatternRows<Value> rows;
  rows.reserve(pattern.size());
  for (const auto& [key, value] : pattern) {
    rows.emplace_back(Regex(fmt::format(R"((.*\.)?({})$)", key), config.file, field), value);
  }
  return rows;
}

template <class Value>
Value first_match(const PatternRows<Value>& rows, const std::string& module, Value otherwise) {
  const auto row =
      std::ranges::find_if(rows, [&](const auto& r) { return r.first.matches(module); });
  return row == rows.end() ? otherwise : row->second;
}

}  // namespace

struct ModuleRules::Impl {
  explicit Impl(const AdapterConfig& from)
      : config(from),
        rank_rows(compile(from.rank_pattern, from, "rank_pattern")),
        alpha_rows(compile(from.alpha_pattern, from, "alpha_pattern")) {
    if (config.targets.form == Form::regex) {
      target.emplace(config.targets.regex, config.file, "target_modules");
    }
    if (config.excluded.form == Form::regex) {
      excluded.emplace(config.excluded.regex, config.file, "exclude_modules");
    }
    if (config.layers_to_transform.empty()) return;
    if (config.layers_pattern.empty()) {
      layer_index.emplace_back(R"(.*\.[^.]*\.(\d+)\.)", config.file, "layers_pattern");
    }
    for (const std::string& pattern : config.layers_pattern) {
      layer_index.emplace_back(fmt::format(R"(.*\.(?:{})\.(\d+)\.)", pattern), config.file,
                               "layers_pattern");
    }
  }

  [[nodiscard]] bool is_excluded(const std::string& module) const {
    return excluded ? excluded->matches(module) : is_named(config.excluded.names, module);
  }

  /// Whether the module lies in one of layers_to_transform.
  [[nodiscard]] bool is_in_layers(const std::string& module) const {
    if (layer_index.empty()) return true;
    for (const Regex& regex : layer_index) {
      const auto digits = regex.group_at_start(module);
      if (!digits) continue;
      std::int64_t layer = -1;
      const char* end = digits->data() + digits->size();
      const auto [at, error] = std::from_chars(digits->data(), end, layer);
      if (error != std::errc() || at != end) {
        throw InputError({config.file, "layers_pattern"},
                         {fmt::format("finds '{}' in {}", *digits, module),
                          "the first group of the expression must be the number of a layer",
                          "write the expression without groups"});
      }
      return std::ranges::find(config.layers_to_transform, layer) !=
             config.layers_to_transform.end();
    }
    return false;
  }

  AdapterConfig config;
  PatternRows<Index> rank_rows;
  PatternRows<double> alpha_rows;
  std::optional<Regex> target;
  std::optional<Regex> excluded;
  std::vector<Regex> layer_index;  ///< empty = layers_to_transform is not in use
};

ModuleRules::ModuleRules(const AdapterConfig& config) : impl_(std::make_unique<Impl>(config)) {}
ModuleRules::~ModuleRules() = default;

bool ModuleRules::selects(const std::string& module) const {
  if (impl_->is_excluded(module)) return false;
  const ModuleSelector& targets = impl_->config.targets;
  switch (targets.form) {
    case Form::regex:
      return impl_->target->matches(module);
    case Form::names:
      // PEFT: a module that is listed by its whole name is meant whatever its layer.
      return std::ranges::find(targets.names, module) != targets.names.end() ||
             (is_named(targets.names, module) && impl_->is_in_layers(module));
    case Form::all_linear:
      return kind_of(module) == ModuleKind::linear && impl_->is_in_layers(module);
    default:
      return impl_->is_in_layers(module);
  }
}

Index ModuleRules::rank(const std::string& module) const {
  return first_match(impl_->rank_rows, module, impl_->config.rank);
}

double ModuleRules::alpha(const std::string& module) const {
  return first_match(impl_->alpha_rows, module, impl_->config.alpha);
}

double ModuleRules::scaling(const std::string& module) const {
  const auto r = static_cast<double>(rank(module));
  return alpha(module) / (impl_->config.use_rslora ? std::sqrt(r) : r);
}

}  // namespace d2c::lora
