// Losses on a GPU: units (a task under an adapter) per second, and the share of the GPU's peak.
//
//   bench_gpu [--compute f32|bf16] [--seconds S] [--units N] [NAME ...]
//
// NAME: 135M, 1B, 1.5B (shapes with random weights). Default: all. A task has 10 examples of 100
// tokens, 40 of them shared, 30 scored; the adapter has rank 32 on q, k, v and o, and eight tasks
// are measured under each. The peak is a product of 8192 x 8192 x 8192 in the same arithmetic,
// measured before each shape. "Useful" is the work of model::work() on the distinct tokens.

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/timer.hpp"
#include "d2c/eval/engine_choice.hpp"
#include "d2c/eval/speed.hpp"

#include "arguments.hpp"
#include "cuda/cuda.hpp"

namespace d2c {
namespace {

struct Settings {
  ops::Arithmetic compute = ops::Arithmetic::bf16;
  double seconds = 4.0;
  Index units = 256;
};

struct Shape {
  std::string name;
  eval::LlamaShape model;
};

const std::vector<Shape> shapes{
    {"135M", {30, 576, 1536, 9, 3, 49152}},
    {"1B", {16, 2048, 8192, 32, 8, 128256}},
    {"1.5B", {28, 1536, 8960, 12, 2, 151936}},
};

constexpr Index tasks_per_adapter = 8;
constexpr Index adapters_at_hand = 4;

lora::FactorMap attention_adapter(const model::ModelConfig& config) {
  lora::FactorMap factors = eval::random_adapter(config, 32);
  std::erase_if(factors, [](const auto& of) { return of.first.find("mlp") != std::string::npos; });
  return factors;
}

void measure(const Shape& shape, const Settings& settings) {
  const model::ModelConfig config = eval::llama_config(shape.model);
  const bool is_bf16 = settings.compute == ops::Arithmetic::bf16;
  const model::Model model = model::Model::random(
      config, is_bf16 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32, ops::Arithmetic::f32);
  const double peak = eval::cuda::product_rate(0, 8192, is_bf16);
  const auto engine =
      eval::make_engine(model, {.device = eval::Device::cuda, .compute = settings.compute});
  const lora::FactorMap factors = attention_adapter(config);
  std::vector<eval::AdapterHandle> adapters;
  while (std::ssize(adapters) < adapters_at_hand) adapters.push_back(engine->prepare(factors));
  const auto batches =
      eval::pack(eval::random_examples({}, shape.model.vocabulary), eval::LossOn::response, 2048);
  double useful = 0.0;
  Index tokens = 0;
  for (const eval::Batch& batch : batches) {
    useful += model::work(config, batch.forest, batch.targets, eval::parameters(factors)).useful;
    tokens += std::ssize(batch.forest.ids);
  }
  const auto evaluate = [&] {
    std::vector<eval::Unit> units;
    for (Index u = 0; u < settings.units; ++u) {
      const auto adapter = static_cast<std::size_t>(u / tasks_per_adapter % adapters_at_hand);
      units.push_back(eval::Unit{.adapter = adapters[adapter], .batches = batches});
    }
    const Stopwatch watch;
    static_cast<void>(eval::losses_of(*engine, std::move(units)));
    return watch.seconds();
  };
  static_cast<void>(evaluate());
  std::vector<double> times;
  const Stopwatch all;
  while (times.size() < 3 || all.seconds() < settings.seconds) times.push_back(evaluate());
  const double rate = static_cast<double>(settings.units) / eval::median(times);
  fmt::print(
      "{:<5} {:>8.1f} units/s {:>9.0f} distinct tokens/s {:>7.1f} TFLOP/s useful, {:>5.1f} % of "
      "{:.0f} TFLOP/s  ({})\n",
      shape.name, rate, rate * static_cast<double>(tokens), rate * useful * 1e-12,
      100.0 * rate * useful / peak, peak * 1e-12, engine->description());
}

void run(const std::vector<std::string>& args) {
  Settings settings;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (const auto* compute = value_of("--compute", args, i)) {
      settings.compute = *compute == "f32" ? ops::Arithmetic::f32 : ops::Arithmetic::bf16;
    } else if (const auto* seconds = value_of("--seconds", args, i)) {
      settings.seconds = std::stod(*seconds);
    } else if (const auto* units = value_of("--units", args, i)) {
      settings.units = std::stol(*units);
    } else {
      names.push_back(args[i]);
    }
  }
  eval::check_gpu();
  for (const Shape& shape : shapes) {
    if (names.empty() || std::ranges::find(names, shape.name) != names.end()) {
      measure(shape, settings);
    }
  }
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) { return d2c::bench_main("bench_gpu", argc, argv, d2c::run); }
