#include "device/adapter.hpp"

#include "d2c/core/error.hpp"

namespace d2c::eval::device {
namespace {

constexpr Index rank_granule = 4;

Index filled_up(Index rank) { return (rank + rank_granule - 1) / rank_granule * rank_granule; }

/// What one site reads of the factors: Update with offsets into `floats` for its pointers.
struct Packed {
  Update update;
  std::size_t a = 0;
  std::size_t b[Update::most_parts] = {};
};

/// @param floats  what the factors become is appended
Packed pack(const Sites& sites, std::size_t site, const lora::FactorMap& factors,
            std::vector<float>& floats) {
  Packed packed;
  Update& update = packed.update;
  std::vector<const lora::Factors*> parts;
  Index column = 0;
  for (const std::string& module : sites[site].modules) {
    const Index width = sites.d_out(module);
    if (const auto found = factors.find(module); found != factors.end()) {
      D2C_EXPECTS(update.n_parts < Update::most_parts);
      const Index rank = filled_up(found->second.rank());
      update.parts[update.n_parts++] = {.column = static_cast<std::int32_t>(column),
                                        .width = static_cast<std::int32_t>(width),
                                        .first_rank = update.rank,
                                        .rank = static_cast<std::int32_t>(rank)};
      update.rank += static_cast<std::int32_t>(rank);
      parts.push_back(&found->second);
    }
    column += width;
  }
  packed.a = floats.size();
  const Index d_in = sites[site].d_in;
  floats.resize(floats.size() + static_cast<std::size_t>(d_in * update.rank));
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Update::Part& part = update.parts[p];
    const lora::Factors& from = *parts[p];
    for (Index r = 0; r < from.rank(); ++r) {
      float* a = floats.data() + packed.a + part.first_rank + r;
      for (Index d = 0; d < d_in; ++d) a[d * update.rank] = from.a(r, d);
    }
    packed.b[p] = floats.size();
    floats.resize(floats.size() + static_cast<std::size_t>(Index{part.rank} * part.width));
    for (Index r = 0; r < from.rank(); ++r) {
      float* b = floats.data() + packed.b[p] + r * part.width;
      for (Index c = 0; c < part.width; ++c) {
        b[c] = static_cast<float>(from.scaling * static_cast<double>(from.b(c, r)));
      }
    }
  }
  return packed;
}

}  // namespace

Sites::Sites(const model::ModelConfig& config) : sites_(model::input_sites(config)) {
  for (const lora::TargetModule& module : model::target_modules(config)) {
    d_out_[module.name] = module.d_out;
  }
}

Adapter::Adapter(Memory& memory, const Sites& sites, const lora::FactorMap& factors,
                 AdapterHandle on_cpu)
    : factors_(memory), on_cpu_(std::move(on_cpu)) {
  std::vector<float> floats;
  std::vector<Packed> packed;
  for (std::size_t site = 0; site < sites.size(); ++site) {
    packed.push_back(pack(sites, site, factors, floats));
  }
  const float* data = factors_.assign(floats);
  for (Packed& of_site : packed) {
    of_site.update.a = data + of_site.a;
    for (int p = 0; p < of_site.update.n_parts; ++p) {
      of_site.update.parts[p].b = data + of_site.b[p];
    }
    updates_.push_back(of_site.update);
  }
}

}  // namespace d2c::eval::device
