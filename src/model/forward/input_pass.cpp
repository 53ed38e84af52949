#include "d2c/model/input_pass.hpp"

#include <algorithm>
#include <numeric>

#include "forward/layer.hpp"
#include "forward/placement.hpp"
#include "forward/update_places.hpp"

namespace d2c::model {
namespace {

constexpr std::size_t places_per_layer = 4;

std::size_t site_of(UpdatePlace place, Index layer) {
  return 1 + static_cast<std::size_t>(layer) * places_per_layer + static_cast<std::size_t>(place) -
         static_cast<std::size_t>(UpdatePlace::qkv);
}

}  // namespace

std::vector<InputSite> input_sites(const ModelConfig& config) {
  std::vector<InputSite> sites;
  for_each_update(config, [&](UpdatePlace place, Index, const Members& members, Index d_in) {
    InputSite& site = sites.emplace_back(InputSite{{}, d_in, place == UpdatePlace::embedding});
    for (const Member& member : members) site.modules.push_back(member.module);
  });
  return sites;
}

class InputPass::Workspace {
 public:
  explicit Workspace(const Model& model)
      : config_(model.config()), weights_(model.weights()), rotary_(config_) {}

  void run(ops::ThreadTeam& threads, const TokenForest& forest, const PreparedAdapter* adapter,
           const Show& show) {
    check_forest(config_, forest);
    if (forest.ids.empty()) return;
    rows_.resize(forest.ids.size());
    std::iota(rows_.begin(), rows_.end(), Index{0});
    placement_.place(forest, rows_);
    rotary_.extend_to(*std::ranges::max_element(placement_.positions) + 1, forest.is_long);
    const Pass pass{config_, threads, rotary_, forest.ids, placement_.positions, forest.segments};
    ops::Rows x = activations_.residual.shape(std::ssize(rows_), config_.hidden_size);
    embed(pass, weights_, adapter, activations_, x);
    for (Index index = 0; index < config_.n_layers; ++index) {
      const auto i = static_cast<std::size_t>(index);
      const ShowInputs inputs = [&](UpdatePlace place, ops::ConstRows rows) {
        show(site_of(place, index), rows);
      };
      Layer layer{weights_.layers[i], adapter == nullptr ? nullptr : &adapter->layers[i],
                  config_.kinds[i]};
      layer.inputs = &inputs;
      x = layer_forward(pass, layer, x, placement_.all_rows, activations_);
    }
    const ops::Rows h = activations_.normalised.shape(x.n, x.width);
    normalise(pass, weights_.final_norm, x, h);
    show(site_of(UpdatePlace::qkv, config_.n_layers), h);
  }

 private:
  const ModelConfig& config_;
  const Weights& weights_;
  RotaryTables rotary_;
  Activations activations_;
  Placement placement_;
  std::vector<Index> rows_;
};

InputPass::InputPass(const Model& model) : workspace_(std::make_unique<Workspace>(model)) {}
InputPass::~InputPass() = default;

void InputPass::operator()(ops::ThreadTeam& threads, const TokenForest& forest,
                           const PreparedAdapter* adapter, const Show& show) {
  workspace_->run(threads, forest, adapter, show);
}

}  // namespace d2c::model
