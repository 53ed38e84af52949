// The gradient of a task's examples with respect to an adapter's factors, as a step of distillation
// computes it: forward pass, cross-entropy against a teacher's distributions, backward pass.
//
//   bench_step [--threads N] [--seconds S] [--weights f32|bf16] [--examples N] [NAME ...]
//
// NAME: 656K, 135M, 1B (shapes with random weights and fewer layers, which are alike). Default:
// all.
// --examples: of the task, in one step (default 10). A product of the 1B shape's largest matrix is
// measured by turns with it, for comparison.
//
// "Carried out" counts each layer three times, since the backward pass recomputes it: forward,
// forward again, and the product with the untransposed weights; and the vocabulary three times.
// "Useful" leaves out what is computed again.

#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/speed.hpp"
#include "d2c/ops/peak.hpp"

#include "arguments.hpp"

namespace d2c {
namespace {

struct Settings {
  int threads = 1;
  double seconds = 5.0;
  ops::WeightFormat weights = ops::WeightFormat::f32;
  Index n_examples = 10;
};

struct Shape {
  std::string name;
  eval::LlamaShape model;
  Index rank;
};

const std::vector<Shape> shapes{
    {"656K", {2, 128, 384, 8, 4, 2048}, 8},
    {"135M", {8, 576, 1536, 9, 3, 49152}, 16},
    {"1B", {4, 2048, 8192, 32, 8, 32000}, 16},
};

/// Floating-point operations of one gradient.
model::Work work_of(const model::ModelConfig& config, const eval::Batch& batch, double adapter) {
  const auto layers = static_cast<double>(config.n_layers);
  const auto n = static_cast<double>(batch.forest.ids.size());
  const double all = model::work(config, batch.forest, {}, adapter).useful;
  const double bare = model::work(config, batch.forest, {}, 0.0).useful;
  const double linear = 2.0 * model::parameters_per_token(config) * n;
  // Derivatives of both factors and of what each reads; of scores, keys, queries and values.
  const double low_rank = 2.0 * (all - bare);
  const double attention = 2.0 * (bare - linear);
  const model::Work forward = model::work(config, batch.forest, batch.targets, adapter);
  const double logits =
      2.0 * model::parameters_per_target(config) * static_cast<double>(batch.targets.size());
  // In the last layer, only targets need more than keys and values.
  const double skipped = forward.useful - forward.done;
  const double backward = linear + low_rank + attention - skipped;
  const double again = all * (layers - 1.0) / layers + 0.5 * attention * (layers - 1.0) / layers;
  return {.useful = forward.done + backward + logits,
          .done = forward.done + backward + again + 2.0 * logits};
}

/// One distribution over the whole vocabulary's first tokens for each target.
ops::SoftTargets random_targets(std::size_t n, Index vocabulary) {
  constexpr int tokens = 256;
  CounterRng rng(1, hash_name("targets"));
  ops::SoftTargets targets;
  for (std::size_t i = 0; i < n; ++i) {
    const auto first = static_cast<std::int32_t>(
        rng.below(static_cast<std::uint64_t>(std::max<Index>(vocabulary - tokens, 1))));
    for (int t = 0; t < tokens; ++t) {
      targets.tokens.push_back(first + t);
      targets.probabilities.push_back(0.9F / tokens);
    }
    targets.begin.push_back(std::ssize(targets.tokens));
  }
  return targets;
}

void measure(const Shape& shape, const Settings& settings) {
  const auto config = eval::llama_config(shape.model);
  const model::Model model = model::Model::random(config, settings.weights, ops::Arithmetic::f32);
  const auto factors = eval::random_adapter(config, shape.rank);
  const auto examples =
      eval::random_examples({.n_examples = settings.n_examples}, shape.model.vocabulary);
  std::vector<eval::Lesson> lessons;
  model::Work work;
  for (eval::Batch& batch : eval::pack(examples, eval::LossOn::response, 2048)) {
    const auto of_batch = work_of(config, batch, eval::parameters(factors));
    work.useful += of_batch.useful;
    work.done += of_batch.done;
    eval::Lesson& lesson = lessons.emplace_back();
    lesson.targets = random_targets(batch.targets.size(), shape.model.vocabulary);
    lesson.weight.assign(batch.targets.size(), 0.01F);
    lesson.batch = std::move(batch);
  }
  const auto engine = eval::make_cpu_engine(model, settings.threads);
  // Each thread has a gradient of its own where there are as many as threads.
  const std::vector<eval::GradientUnit> units(static_cast<std::size_t>(settings.threads),
                                              {engine->prepare(factors), lessons});
  const Stopwatch watch;
  const auto now = [&] { return settings.threads == 1 ? thread_cpu_seconds() : watch.seconds(); };
  const auto step = [&] { engine->gradients(units, [](Index, const eval::GradientResult&) {}); };
  step();
  std::vector<double> seconds;
  std::vector<double> useful;
  std::vector<double> done;
  std::vector<double> products;
  const auto& down = model.weights().layers.front().down;
  for (const double end = now() + settings.seconds; seconds.empty() || now() < end;) {
    products.push_back(eval::measure_product(down, 640, settings.threads, 0.0).share);
    const double peak = ops::fma_peak() * settings.threads;
    const double start = now();
    step();
    seconds.push_back(now() - start);
    const double rate = settings.threads / (seconds.back() * peak);
    useful.push_back(rate * work.useful);
    done.push_back(rate * work.done);
  }
  fmt::print(
      "{}: {} layers, hidden {}, rank {}, {} examples: {:.3g} s, {:.1f} GFLOP carried out, {:.1f} "
      "% "
      "of the peak (useful {:.1f} %); down_proj alone {:.1f} %; {} turns\n",
      shape.name, shape.model.layers, shape.model.hidden, shape.rank, settings.n_examples,
      eval::median(seconds), work.done * 1e-9, 100.0 * eval::median(done),
      100.0 * eval::median(useful), 100.0 * eval::median(products), seconds.size());
}

void run(const std::vector<std::string>& args) {
  Settings settings;
  std::set<std::string> names;
  const std::string* value = nullptr;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if ((value = value_of("--threads", args, i)) != nullptr) {
      settings.threads = std::stoi(*value);
    } else if ((value = value_of("--seconds", args, i)) != nullptr) {
      settings.seconds = std::stod(*value);
    } else if ((value = value_of("--weights", args, i)) != nullptr) {
      settings.weights = *value == "bf16" ? ops::WeightFormat::bf16 : ops::WeightFormat::f32;
    } else if ((value = value_of("--examples", args, i)) != nullptr) {
      settings.n_examples = std::stol(*value);
    } else {
      names.insert(args[i]);
    }
  }
  for (const Shape& shape : shapes) {
    if (names.empty() || names.contains(shape.name)) measure(shape, settings);
  }
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) { return d2c::bench_main("bench_step", argc, argv, d2c::run); }
