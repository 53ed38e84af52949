#include "d2c/tools/merge_folders.hpp"

#include <cmath>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/version.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/lora/model_card.hpp"
#include "d2c/results/library_record.hpp"

namespace d2c::tools {
namespace {

std::vector<double> checked_weights(const MergeFoldersOptions& options) {
  const std::size_t n = options.adapters.size();
  if (options.weights.empty()) return std::vector<double>(n, 1.0 / static_cast<double>(n));
  if (options.weights.size() != n) {
    throw UsageError(
        {fmt::format("--weights has {} values for {} adapters", options.weights.size(), n),
         "each adapter needs its own", fmt::format("give {}", n)});
  }
  for (const double weight : options.weights) {
    if (!std::isfinite(weight)) {
      throw UsageError({"--weights holds a value that is not finite",
                        "the merged adapter would be NaN", "give finite numbers"});
    }
  }
  return options.weights;
}

DType common_dtype(const std::vector<lora::Adapter>& adapters) {
  DType common = adapters.front().dtype;
  for (const lora::Adapter& adapter : adapters) common = common_float(common, adapter.dtype);
  return common;
}

/// The base model of all adapters. One that does not name its own is taken on trust: its shapes are
/// compared with the others' in any case.
std::string common_base_model(const std::vector<lora::Adapter>& adapters) {
  const lora::Adapter* first = nullptr;
  for (const lora::Adapter& adapter : adapters) {
    const std::string& base_model = adapter.config.base_model;
    if (base_model.empty()) continue;
    if (first == nullptr) first = &adapter;
    if (base_model != first->config.base_model) {
      throw InputError(
          {adapter.config.file, "base_model_name_or_path"},
          {fmt::format("is '{}', but {} has '{}'", base_model, first->folder.string(),
                       first->config.base_model),
           "updates of different base models do not add up",
           "merge adapters of one base model, or correct the field if both mean the same"});
    }
  }
  return first == nullptr ? "" : first->config.base_model;
}

std::string model_card(const MergeFoldersOptions& options,
                       const std::vector<lora::Adapter>& adapters,
                       const std::vector<double>& weights, const std::string& base_model,
                       std::size_t n_modules) {
  std::string card = lora::card_front_matter(base_model);
  card +=
      fmt::format("# Merged adapter\n\nMade by d2c {} (method `{}`).", version(), options.method);
  if (!base_model.empty()) card += " Base model: " + lora::card_code(base_model) + ".";
  card += "\n\n| adapter | weight | modules |\n|---|---|---|\n";
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    card += fmt::format("| {} | {:.6g} | {} of {} |\n",
                        lora::card_cell(adapters[i].folder.lexically_normal().string()), weights[i],
                        adapters[i].modules.size(), n_modules);
  }
  return card;
}

/// One line for each adapter that lacks modules which others have.
std::string describe_gaps(const std::vector<lora::Adapter>& adapters, std::size_t n_modules) {
  std::string lines;
  for (const lora::Adapter& adapter : adapters) {
    if (adapter.modules.size() == n_modules) continue;
    lines +=
        fmt::format("\n{} has {} of the {} modules and counts as zero in the others",
                    adapter.folder.lexically_normal().string(), adapter.modules.size(), n_modules);
  }
  return lines;
}

}  // namespace

std::string merge_folders(const MergeFoldersOptions& options) {
  const merge::Method& method = merge::find_method(options.method);
  if (method.uses_inputs) {
    throw UsageError(
        {fmt::format("method '{}' needs the examples of the adapters' tasks", options.method),
         "it weighs updates by what the layers read in them, and this command has none",
         fmt::format("choose regmean_datafree, or d2c run --method {}", options.method)});
  }
  merge::validate(method, options.merge);
  const std::vector<double> weights = checked_weights(options);
  if (std::filesystem::exists(options.output)) {
    throw InputError({options.output, {}}, {"exists already", "nothing is overwritten unasked",
                                            "choose another --output"});
  }

  std::vector<lora::Adapter> adapters;
  std::vector<std::string> names;
  for (const auto& folder : options.adapters) {
    adapters.push_back(lora::read_adapter(results::read_adapter_at(folder), {}, options.model));
    names.push_back(folder.lexically_normal().string());
  }
  const std::string base_model = common_base_model(adapters);
  std::vector<const lora::FactorMap*> maps;
  maps.reserve(adapters.size());
  for (const auto& adapter : adapters) maps.push_back(&adapter.modules);
  const lora::FactorMap merged = merge::merge_adapters(method, maps, weights, names, options.merge);

  lora::WriteOptions write;
  write.dtype = options.dtype.value_or(common_dtype(adapters));
  write.base_model = base_model;
  write.card =
      model_card(options, adapters, weights, base_model, merged.size()) + lora::card_rank(merged);
  for (const auto& adapter : adapters) write.short_names.merge(lora::short_names(adapter.config));
  lora::write_adapter(options.output, merged, write);
  return fmt::format("merged {} adapter{} by {} into {} ({} modules, {}){}", adapters.size(),
                     adapters.size() == 1 ? "" : "s", options.method, options.output.string(),
                     merged.size(), name_of(write.dtype), describe_gaps(adapters, merged.size()));
}

}  // namespace d2c::tools
