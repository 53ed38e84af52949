// Whole units, the loss of a task's examples under an adapter, on this machine.
//
//   bench_unit [--threads N] [--seconds S] [NAME ...]
//
// NAME: fv40 (one iteration of 40 tasks with 5 adapters, where the reference data lies beside the
// project), 656K, 135M, 1B (shapes with random weights and fewer layers) and 135M-prompt, 1B-prompt
// (100-token examples without sharing and without the vocabulary). Default: all.

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/driver/manifest.hpp"
#include "d2c/driver/model_folder.hpp"
#include "d2c/eval/speed.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c {
namespace {

struct Settings {
  int threads = 1;
  double seconds = 3.0;
};

struct Shape {
  std::string name;
  eval::LlamaShape model;
  Index rank;
  eval::ExampleShape examples;
};

const std::vector<Shape> shapes{
    {"656K", {2, 128, 384, 8, 4, 2048}, 8, {}},
    {"135M", {8, 576, 1536, 9, 3, 49152}, 16, {}},
    {"1B", {4, 2048, 8192, 32, 8, 32000}, 16, {}},
    // One prediction: what remains of the vocabulary is negligible.
    {"135M-prompt", {8, 576, 1536, 9, 3, 64}, 0, {.shared = 0, .response = 1}},
    {"1B-prompt", {4, 2048, 8192, 32, 8, 64}, 0, {.shared = 0, .response = 1}},
};

void measure_shape(const Shape& shape, const Settings& settings) {
  const auto model = model::Model::random(eval::llama_config(shape.model));
  const auto examples = eval::random_examples(shape.examples, shape.model.vocabulary);
  // Prompts: every layer for every token, so every token is a target of the tiny vocabulary.
  const auto loss_on = shape.rank == 0 ? eval::LossOn::all : eval::LossOn::response;
  const auto batches = eval::pack(examples, loss_on, 2048);
  const auto adapter = eval::random_adapter(model.config(), std::max(shape.rank, Index{1}));
  const eval::Unit unit{shape.rank == 0 ? nullptr : &adapter, batches, std::ssize(examples)};
  const auto speed = eval::measure_speed(model, {&unit, 1}, eval::count_tokens(examples, batches),
                                         settings.threads, settings.seconds);
  fmt::print("{}: {} layers, hidden {}, rank {}\n{}\n", shape.name, shape.model.layers,
             shape.model.hidden, shape.rank, eval::to_text(speed));
}

void measure_fv40(const std::filesystem::path& folder, const Settings& settings) {
  constexpr int n_adapters = 5;
  const driver::Manifest manifest = driver::read_manifest(folder);
  const driver::ModelFolder model = driver::load_model_folder(manifest.model);
  const auto modules = model.model.target_modules();
  std::vector<lora::Adapter> adapters;
  for (std::size_t i = 0; i < n_adapters; ++i) {
    const auto& task = manifest.tasks[i * manifest.tasks.size() / n_adapters];
    adapters.push_back(lora::read_adapter(task.adapter, modules));
  }
  std::vector<std::vector<eval::Batch>> tasks;
  std::vector<Index> n_examples;
  eval::TokenCounts tokens;
  for (const driver::TaskSpec& task : manifest.tasks) {
    const auto file = eval::read_examples(task.examples, model.encoding(), model.limits());
    tasks.push_back(eval::pack(file.examples, eval::LossOn::response, 2048));
    n_examples.push_back(std::ssize(file.examples));
    const auto counts = eval::count_tokens(file.examples, tasks.back());
    tokens.total += n_adapters * counts.total;
    tokens.computed += n_adapters * counts.computed;
    tokens.targets += n_adapters * counts.targets;
  }
  std::vector<eval::Unit> units;
  for (const lora::Adapter& adapter : adapters) {
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      units.push_back({&adapter.modules, tasks[t], n_examples[t]});
    }
  }
  const auto speed =
      eval::measure_speed(model.model, units, tokens, settings.threads, settings.seconds);
  fmt::print("fv40: one iteration, {} tasks, {} adapters, {:.1f} GFLOP\n{}\n", tasks.size(),
             n_adapters, speed.work.useful * 1e-9, eval::to_text(speed));
}

void run(const std::vector<std::string>& args) {
  Settings settings;
  std::set<std::string> names;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--threads" && i + 1 < args.size()) {
      settings.threads = std::stoi(args[++i]);
    } else if (args[i] == "--seconds" && i + 1 < args.size()) {
      settings.seconds = std::stod(args[++i]);
    } else {
      names.insert(args[i]);
    }
  }
  const auto wanted = [&](const std::string& name) {
    return names.empty() || names.contains(name);
  };
  const std::filesystem::path fv40 = D2C_BENCH_FV40;
  if (wanted("fv40") && std::filesystem::exists(fv40)) measure_fv40(fv40, settings);
  for (const Shape& shape : shapes) {
    if (wanted(shape.name)) measure_shape(shape, settings);
  }
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) {
  try {
    d2c::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_unit: {}\n", error.what());
    return 1;
  }
}
