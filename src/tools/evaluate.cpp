#include "d2c/tools/evaluate.hpp"

#include <numeric>
#include <utility>

#include "d2c/core/json.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library_record.hpp"

namespace d2c::tools {

Evaluation evaluate(const std::filesystem::path& model_folder,
                    const std::filesystem::path& adapter_folder,
                    const std::filesystem::path& examples_file, eval::LossOn loss_on,
                    Index batch_tokens, model::WeightChoice weights,
                    const eval::EngineChoice& choice, const std::string& chat_date) {
  const eval::EngineChoice settled = choice.settled();
  if (settled.device == eval::Device::cuda) eval::check_gpu();
  const eval::ModelFolder folder =
      eval::load_model_folder(model_folder, {weights, settled.on_cpu()});
  const auto modules = folder.model.target_modules();
  const auto engine = eval::make_engine(folder.model, settled);
  eval::Unit unit;
  Evaluation result;
  result.modules = static_cast<int>(modules.size());
  if (!adapter_folder.empty()) {
    const lora::Adapter adapter =
        lora::read_adapter(results::read_adapter_at(adapter_folder), modules, model_folder);
    if (lora::changes_nothing(adapter.modules)) {
      result.warnings.push_back(adapter_folder.string() +
                                ": the adapter changes nothing (all its updates are zero); check "
                                "that it was saved whole");
    }
    result.modules_applied = static_cast<int>(adapter.modules.size());
    unit.adapter = engine->prepare(adapter.modules);
  }

  eval::ExampleFile file =
      eval::read_examples(examples_file, folder.encoding(chat_date), folder.limits());
  for (std::string& line : file.warnings) result.warnings.push_back(std::move(line));
  for (const std::string& line : folder.warnings()) result.warnings.push_back(line);
  const auto batches =
      eval::pack(file.examples, loss_on, batch_tokens, folder.model.config().short_until());
  unit.batches = batches;
  eval::add_losses(batches, eval::losses_of(*engine, std::move(unit)).nll, result.nll);
  for (const auto& nll : result.nll) {
    result.example_mean.push_back(eval::mean_token_loss(nll));
  }
  result.mean = std::accumulate(result.example_mean.begin(), result.example_mean.end(), 0.0) /
                static_cast<double>(result.example_mean.size());
  return result;
}

std::string to_json(const Evaluation& evaluation, bool per_token) {
  json::OrderedJson value;
  value["examples"] = json::OrderedJson::array();
  for (std::size_t e = 0; e < evaluation.nll.size(); ++e) {
    json::OrderedJson example;
    example["mean"] = evaluation.example_mean[e];
    if (per_token) example["nll"] = evaluation.nll[e];
    value["examples"].push_back(std::move(example));
  }
  value["mean"] = evaluation.mean;
  return value.dump(1);
}

}  // namespace d2c::tools
