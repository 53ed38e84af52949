#include <set>

#include "d2c/lora/adapter.hpp"
#include "d2c/merge/merge.hpp"

namespace d2c::merge {

lora::FactorMap merge_adapters(const Method& method,
                               std::span<const lora::FactorMap* const> adapters,
                               std::span<const double> weights, std::span<const std::string> names,
                               const Options& options) {
  D2C_EXPECTS(!adapters.empty() && weights.size() == adapters.size() &&
              names.size() == adapters.size());
  std::set<std::string_view> modules;
  std::vector<std::uint64_t> identities;
  for (const lora::FactorMap* adapter : adapters) {
    identities.push_back(lora::fingerprint(*adapter));
    for (const auto& [module, factors] : *adapter) modules.insert(module);
  }
  lora::FactorMap merged;
  std::vector<Member> members(adapters.size());
  for (const std::string_view module : modules) {
    for (std::size_t i = 0; i < adapters.size(); ++i) {
      const auto found = adapters[i]->find(std::string(module));
      members[i] = {.factors = found == adapters[i]->end() ? nullptr : &found->second,
                    .weight = weights[i],
                    .adapter = identities[i],
                    .name = names[i]};
    }
    merged.emplace(module, method.function(module, members, options));
  }
  return merged;
}

}  // namespace d2c::merge
