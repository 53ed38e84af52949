#include "d2c/model/input_pass.hpp"

#include <algorithm>

#include "forward/placement.hpp"
#include "forward/stack.hpp"

namespace d2c::model {
namespace {

constexpr std::size_t places_per_layer = 4;

std::size_t site_of(UpdatePlace place, std::size_t layer) {
  return 1 + layer * places_per_layer + static_cast<std::size_t>(place) -
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
    placement_.place(forest, {});
    rotary_.extend_to(*std::ranges::max_element(placement_.positions) + 1, forest.is_long);
    const ShowInputs inputs = [&](UpdatePlace place, std::size_t layer, ops::ConstRows x) {
      show(site_of(place, layer), x);
    };
    const Pass pass{.config = config_,
                    .threads = threads,
                    .rotary = rotary_,
                    .ids = forest.ids,
                    .positions = placement_.positions,
                    .segments = forest.segments,
                    .inputs = &inputs};
    const std::span<const Index> all = placement_.all_rows;
    const ops::Rows h = stack_forward(pass, weights_, adapter, all, all, activations_);
    show(site_of(UpdatePlace::qkv, weights_.layers.size()), h);
  }

 private:
  const ModelConfig& config_;
  const Weights& weights_;
  RotaryTables rotary_;
  Activations activations_;
  Placement placement_;
};

InputPass::InputPass(const Model& model) : workspace_(std::make_unique<Workspace>(model)) {}
InputPass::~InputPass() = default;

void InputPass::operator()(ops::ThreadTeam& threads, const TokenForest& forest,
                           const PreparedAdapter* adapter, const Show& show) {
  workspace_->run(threads, forest, adapter, show);
}

}  // namespace d2c::model
