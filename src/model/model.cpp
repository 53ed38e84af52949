#include "d2c/model/model.hpp"

#include <utility>

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
  const ModuleNames& names = config.names;
  const Index hidden = config.hidden_size;
  const Index intermediate = config.intermediate_size;
  std::vector<lora::TargetModule> result;
  result.push_back({names.embedding, hidden, config.vocab_size});
  for (Index layer = 0; layer < config.n_layers; ++layer) {
    const auto add = [&](const std::string& module, Index d_out, Index d_in) {
      result.push_back({names.in_layer(layer, module), d_out, d_in});
    };
    add(names.q, config.q_size(), hidden);
    add(names.k, config.kv_size(), hidden);
    add(names.v, config.kv_size(), hidden);
    add(names.o, hidden, config.q_size());
    add(names.gate, intermediate, hidden);
    add(names.up, intermediate, hidden);
    add(names.down, hidden, intermediate);
  }
  result.push_back({names.head, config.vocab_size, hidden});
  return result;
}

}  // namespace d2c::model
