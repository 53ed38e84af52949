#include "d2c/model/input_sites.hpp"

#include "forward/update_places.hpp"

namespace d2c::model {

std::vector<InputSite> input_sites(const ModelConfig& config) {
  std::vector<InputSite> sites;
  for_each_update(config, [&](UpdatePlace place, Index, const Members& members, Index d_in) {
    InputSite& site = sites.emplace_back(InputSite{{}, d_in, place == UpdatePlace::embedding});
    for (const Member& member : members) site.modules.push_back(member.module);
  });
  return sites;
}

}  // namespace d2c::model
