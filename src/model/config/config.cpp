#include "d2c/model/config.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/harmless_keys.hpp"
#include "families/family.hpp"

namespace d2c::model {
namespace {

void check_architecture(ConfigReader& config, const Family& family) {
  const std::vector<std::string> names = config.texts("architectures");
  if (names.empty() || std::ranges::find(names, family.architecture) != names.end()) return;
  config.fail("architectures", fmt::format("is [{}]", fmt::join(names, ", ")),
              fmt::format("{} is needed: a model with a language-model head", family.architecture),
              "use the causal language model");
}

const Family& family_of(ConfigReader& config) {
  const std::string type = config.text("model_type", "");
  const auto found =
      std::ranges::find(families(), type, [](const Family& family) { return family.model_type; });
  if (found == families().end()) {
    std::vector<std::string_view> known;
    for (const Family& family : families()) known.push_back(family.model_type);
    config.fail("model_type", type.empty() ? "is missing" : fmt::format("is \"{}\"", type),
                "this family of models is not supported",
                fmt::format("supported: {}", fmt::join(known, ", ")));
  }
  return *found;
}

/// An id that is no token of the model, such as -1, names none.
std::optional<std::int32_t> eos_of(const json::Json& config, Index vocab_size) {
  const auto named = config.find("eos_token_id");
  if (named == config.end()) return std::nullopt;
  const bool is_list = named->is_array() && !named->empty();
  const auto id = json::integer(is_list ? named->front() : *named);
  if (!id || *id < 0 || *id >= vocab_size) return std::nullopt;
  return static_cast<std::int32_t>(*id);
}

}  // namespace

std::string ModuleNames::in_layer(Index layer, const std::string& module) const {
  return fmt::format("{}.{}.{}", layers, layer, module);
}

Index ModelConfig::short_until() const {
  Index result = 0;
  for (const RopeConfig& rope : ropes) result = std::max(result, rope.short_until);
  return result;
}

ModelConfig read_config(const std::filesystem::path& file, const FileTexts& texts) {
  const json::Json json = json::parse(texts.read(file), file);
  ConfigReader config(json, file);
  const Family& family = family_of(config);
  check_architecture(config, family);
  ModelConfig model = family.read(config);
  model.family = family.model_type;
  model.eos_token_id = eos_of(json, model.vocab_size);
  ignore_harmless_keys(config);
  config.refuse_the_rest();
  return model;
}

}  // namespace d2c::model
