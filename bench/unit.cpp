// Whole units, the loss of a task's examples under an adapter, on this machine.
//
//   bench_unit [--threads N] [--seconds S] [--weights f32|bf16|both] [--compute f32|bf16|both]
//              [--manifest PATH] [-K N] [--tasks-per-pass N] [--units N] [NAME ...]
//
// NAME: 656K, 135M, 0.6B, 1B (shapes with random weights and fewer layers) and 135M-prompt,
// 1B-prompt (100-token examples without sharing and without the vocabulary), and fv40. Default:
// all. fv40 is the reference data beside the project, where it is; with --manifest any job's: one
// iteration of its tasks with K of its adapters (default 5), the weights as its files have them.
// --weights both: F32 and BF16 take turns. --compute both: the same BF16 weights in the arithmetics
// by turns. --tasks-per-pass packs the examples of N tasks together. --units repeats the unit of a
// shape, for threads that evaluate units side by side.

#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/eval/manifest.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/eval/speed.hpp"
#include "d2c/lora/adapter.hpp"

#include "arguments.hpp"

namespace d2c {
namespace {

struct Settings {
  int threads = 1;
  double seconds = 3.0;
  std::string weights = "f32";
  std::string compute = "f32";
  std::filesystem::path manifest = D2C_BENCH_FV40;
  std::size_t n_adapters = 5;
  std::size_t tasks_per_pass = 1;
  std::size_t units = 1;
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
    {"0.6B", {4, 1024, 3072, 16, 8, 65536}, 16, {}},
    {"1B", {4, 2048, 8192, 32, 8, 32000}, 16, {}},
    // One prediction: what remains of the vocabulary is negligible.
    {"135M-prompt", {8, 576, 1536, 9, 3, 64}, 0, {.shared = 0, .response = 1}},
    {"1B-prompt", {4, 2048, 8192, 32, 8, 64}, 0, {.shared = 0, .response = 1}},
};

std::string threads_text(const model::Model& model, std::span<const eval::Workload> units,
                         const Settings& settings) {
  if (settings.threads == 1) return {};
  return eval::to_text(eval::measure_threads(model, units, settings.threads, settings.seconds));
}

ops::Arithmetic arithmetic(bool is_bf16) {
  return is_bf16 ? ops::Arithmetic::bf16 : ops::Arithmetic::f32;
}

/// Two ways by turns. @return the median share of the peak of each
template <class Measure>
std::pair<double, double> take_turns(double seconds, Measure measure) {
  constexpr int turns = 5;
  std::vector<double> wide;
  std::vector<double> narrow;
  for (int turn = 0; turn < turns; ++turn) {
    wide.push_back(measure(false, seconds / turns).useful_share);
    narrow.push_back(measure(true, seconds / turns).useful_share);
  }
  return {eval::median(wide), eval::median(narrow)};
}

void print_arithmetics(const std::string& name, std::pair<double, double> shares) {
  fmt::print("{}: {:.1f} % of the FMA peak in F32 arithmetic, {:.1f} % in BF16: {:.2f} times\n",
             name, 100.0 * shares.first, 100.0 * shares.second, shares.second / shares.first);
}

void measure_shape(const Shape& shape, const Settings& settings) {
  const auto config = eval::llama_config(shape.model);
  const auto examples = eval::random_examples(shape.examples, shape.model.vocabulary);
  // Prompts: every layer for every token, so every token is a target of the tiny vocabulary.
  const auto loss_on = shape.rank == 0 ? eval::LossOn::all : eval::LossOn::response;
  const auto batches = eval::pack(examples, loss_on, 2048);
  const auto adapter = eval::random_adapter(config, std::max(shape.rank, Index{1}));
  const std::vector<eval::Workload> units(settings.units,
                                          {shape.rank == 0 ? nullptr : &adapter, batches});
  auto tokens = eval::count_tokens(examples, batches);
  for (Index* count : {&tokens.total, &tokens.computed, &tokens.targets}) {
    *count *= std::ssize(units);
  }
  const auto measure = [&](ops::WeightFormat format, ops::Arithmetic compute, double seconds) {
    return eval::measure_speed(model::Model::random(config, format, compute), units, tokens,
                               settings.threads, seconds);
  };
  if (settings.weights == "both") {
    const auto by_weights = take_turns(settings.seconds, [&](bool narrow, double seconds) {
      return measure(narrow ? ops::WeightFormat::bf16 : ops::WeightFormat::f32,
                     ops::Arithmetic::f32, seconds);
    });
    fmt::print("{}: {:.1f} % of the peak with F32, {:.1f} % with BF16\n", shape.name,
               100.0 * by_weights.first, 100.0 * by_weights.second);
    return;
  }
  if (settings.compute == "both") {
    print_arithmetics(shape.name, take_turns(settings.seconds, [&](bool narrow, double seconds) {
                        return measure(ops::WeightFormat::bf16, arithmetic(narrow), seconds);
                      }));
    return;
  }
  const auto compute = arithmetic(settings.compute == "bf16");
  const bool is_bf16 = settings.weights == "bf16" || compute == ops::Arithmetic::bf16;
  const auto format = is_bf16 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32;
  fmt::print("{}: {} layers, hidden {}, rank {}, {} weights, {} arithmetic\n{}{}\n", shape.name,
             shape.model.layers, shape.model.hidden, shape.rank, is_bf16 ? "bf16" : "f32",
             settings.compute, eval::to_text(measure(format, compute, settings.seconds)),
             threads_text(model::Model::random(config, format, compute), units, settings));
}

void measure_iteration(const Settings& settings) {
  const eval::Manifest manifest = eval::read_manifest(settings.manifest);
  const std::size_t n_adapters = std::min(settings.n_adapters, manifest.tasks.size());
  const bool any_bf16 = settings.compute != "f32";
  const auto load = [&](ops::Arithmetic compute) {
    return eval::load_model_folder(
        manifest.model,
        {.weights = any_bf16 ? model::WeightChoice::bf16 : model::WeightChoice::automatic,
         .compute = compute});
  };
  const eval::ModelFolder model = load(arithmetic(settings.compute == "bf16"));
  const auto modules = model.model.target_modules();
  std::vector<lora::Adapter> adapters;
  for (std::size_t i = 0; i < n_adapters; ++i) {
    const auto& task = manifest.tasks[i * manifest.tasks.size() / n_adapters];
    adapters.push_back(lora::read_adapter(task.adapter, modules));
  }
  std::vector<std::vector<eval::Batch>> tasks;
  eval::TokenCounts tokens;
  for (std::size_t t = 0; t < manifest.tasks.size();) {
    std::vector<eval::Example> examples;
    for (const std::size_t end = t + settings.tasks_per_pass;
         t < std::min(end, manifest.tasks.size()); ++t) {
      const auto file =
          eval::read_examples(manifest.tasks[t].examples, model.encoding(), model.limits());
      examples.insert(examples.end(), file.examples.begin(), file.examples.end());
    }
    tasks.push_back(eval::pack(examples, eval::LossOn::response, 2048));
    const auto counts = eval::count_tokens(examples, tasks.back());
    const auto passes = static_cast<Index>(n_adapters);
    tokens.total += passes * counts.total;
    tokens.computed += passes * counts.computed;
    tokens.targets += passes * counts.targets;
  }
  std::vector<eval::Workload> units;
  for (const lora::Adapter& adapter : adapters) {
    for (const auto& batches : tasks) units.push_back({&adapter.modules, batches});
  }
  if (settings.compute == "both") {
    const eval::ModelFolder narrow = load(ops::Arithmetic::bf16);
    const auto measure = [&](bool is_narrow, double seconds) {
      return eval::measure_speed(is_narrow ? narrow.model : model.model, units, tokens,
                                 settings.threads, seconds);
    };
    print_arithmetics(settings.manifest.string(), take_turns(settings.seconds, measure));
    return;
  }
  const auto speed =
      eval::measure_speed(model.model, units, tokens, settings.threads, settings.seconds);
  fmt::print("{}: one iteration, {} tasks, {} adapters, {:.1f} GFLOP\n{}{}\n",
             settings.manifest.string(), manifest.tasks.size(), n_adapters,
             speed.work.useful * 1e-9, eval::to_text(speed),
             threads_text(model.model, units, settings));
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
      settings.weights = *value;
    } else if ((value = value_of("--compute", args, i)) != nullptr) {
      settings.compute = *value;
    } else if ((value = value_of("--manifest", args, i)) != nullptr) {
      settings.manifest = *value;
      names.insert("fv40");
    } else if ((value = value_of("--tasks-per-pass", args, i)) != nullptr) {
      settings.tasks_per_pass = std::max(std::stoul(*value), 1UL);
    } else if ((value = value_of("--units", args, i)) != nullptr) {
      settings.units = std::max(std::stoul(*value), 1UL);
    } else if ((value = value_of("-K", args, i)) != nullptr) {
      settings.n_adapters = std::stoul(*value);
    } else {
      names.insert(args[i]);
    }
  }
  const auto wanted = [&](const std::string& name) {
    return names.empty() || names.contains(name);
  };
  if (wanted("fv40") && std::filesystem::exists(settings.manifest)) measure_iteration(settings);
  for (const Shape& shape : shapes) {
    if (wanted(shape.name)) measure_shape(shape, settings);
  }
}

}  // namespace
}  // namespace d2c

int main(int argc, char** argv) { return d2c::bench_main("bench_unit", argc, argv, d2c::run); }
