#include "d2c/model/model.hpp"

#include <utility>

#include "forward/update_places.hpp"

namespace d2c::model {

Model::Model(const std::filesystem::path& folder, ops::WeightFormat format,
             std::shared_ptr<WeightStorage> storage, ops::Arithmetic compute,
             const FileTexts& texts)
    : config_(read_config(folder / "config.json", texts)),
      storage_(std::move(storage)),
      weights_(load_weights(folder, config_, format, *storage_)) {
  check_processor(compute);
  compute_in(compute, weights_);
}

Model::Model(ModelConfig config, std::shared_ptr<WeightStorage> storage, Weights weights,
             ops::Arithmetic compute)
    : config_(std::move(config)), storage_(std::move(storage)), weights_(std::move(weights)) {
  check_processor(compute);
  compute_in(compute, weights_);
}

Model Model::random(ModelConfig config, ops::WeightFormat format, ops::Arithmetic compute) {
  auto storage = std::make_shared<HeapStorage>();
  Weights weights = random_weights(config, format, *storage);
  return {std::move(config), std::move(storage), std::move(weights), compute};
}

std::vector<lora::TargetModule> Model::target_modules() const {
  return model::target_modules(config_);
}

std::vector<lora::TargetModule> target_modules(const ModelConfig& config) {
  std::vector<lora::TargetModule> result;
  for_each_update(config, [&](UpdatePlace, Index, const Members& members, Index d_in) {
    for (const Member& member : members) result.push_back({member.module, member.d_out, d_in});
  });
  return result;
}

}  // namespace d2c::model
