#include "d2c/driver/merge_folders.hpp"

#include <cmath>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/driver/version.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::driver {
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
  for (const lora::Adapter& adapter : adapters) {
    if (adapter.dtype != adapters.front().dtype) return DType::f32;
  }
  return adapters.front().dtype;
}

}  // namespace

std::string merge_folders(const MergeFoldersOptions& options) {
  const merge::Method& method = merge::find_method(options.method);
  merge::validate(method, options.merge);
  const std::vector<double> weights = checked_weights(options);
  if (std::filesystem::exists(options.output)) {
    throw InputError({options.output, {}}, {"exists already", "nothing is overwritten unasked",
                                            "choose another --output"});
  }

  std::vector<lora::Adapter> adapters;
  std::vector<std::string> names;
  for (const auto& folder : options.adapters) {
    adapters.push_back(lora::read_adapter(folder));
    names.push_back(folder.lexically_normal().string());
    if (adapters.back().base_model != adapters.front().base_model) {
      throw InputError(
          {folder / "adapter_config.json", "base_model_name_or_path"},
          {fmt::format("is '{}', but {} has '{}'", adapters.back().base_model, names.front(),
                       adapters.front().base_model),
           "updates of different base models do not add up", "merge adapters of one base model"});
    }
  }
  std::vector<const lora::FactorMap*> maps;
  for (const auto& adapter : adapters) maps.push_back(&adapter.modules);
  const lora::FactorMap merged = merge::merge_adapters(method, maps, weights, names, options.merge);

  lora::WriteOptions write;
  write.dtype = options.dtype.value_or(common_dtype(adapters));
  write.base_model = adapters.front().base_model;
  write.card = fmt::format(
      "---\nlibrary_name: peft\nbase_model: {}\ntags:\n- lora\n- merge\n- d2c\n---\n\n"
      "# Merged adapter\n\nMade by d2c {} (method `{}`). Base model: `{}`.\n\n"
      "| adapter | weight |\n|---|---|\n",
      write.base_model, version(), options.method, write.base_model);
  for (std::size_t i = 0; i < names.size(); ++i) {
    write.card += fmt::format("| {} | {:.6g} |\n", names[i], weights[i]);
  }
  lora::write_adapter(options.output, merged, write);
  return fmt::format("merged {} adapters by {} into {} ({} modules, {})", adapters.size(),
                     options.method, options.output.string(), merged.size(), name_of(write.dtype));
}

}  // namespace d2c::driver
