#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <sys/resource.h>

#include "d2c/eval/speed.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

constexpr double flop_of_an_evaluation = 2e11;  // per thread: about a second

struct BenchArguments {
  std::filesystem::path model;
  Index rank = 16;
  double seconds = 5.0;
};

std::vector<Option<BenchArguments>> bench_options() {
  using A = BenchArguments;
  return {
      {"model", option::path(&A::model),
       "Hugging Face model folder; without it a model of 135 million parameters"},
      {"rank", option::number(&A::rank, at_least(1)), "of the adapter"},
      {"seconds", option::number(&A::seconds, above(0)),
       "for the evaluation; a tenth of it for each matrix product"},
  };
}

model::ModelConfig config_of(const std::filesystem::path& folder) {
  if (!folder.empty()) return model::read_config(folder / "config.json");
  return eval::llama_config({.layers = 30,
                             .hidden = 576,
                             .intermediate = 1536,
                             .heads = 9,
                             .kv_heads = 3,
                             .vocabulary = 49152});
}

/// What `run` would choose, where there are files to look at.
ops::WeightFormat format_of(const std::filesystem::path& folder, model::Precision precision) {
  const bool has_files =
      !folder.empty() && (std::filesystem::exists(folder / "model.safetensors") ||
                          std::filesystem::exists(folder / "model.safetensors.index.json"));
  if (precision.weights == model::WeightChoice::automatic && !has_files) {
    return precision.compute == ops::Arithmetic::bf16 ? ops::WeightFormat::bf16
                                                      : ops::WeightFormat::f32;
  }
  return model::weight_format(folder, precision);
}

/// The same model with as many layers as an evaluation of about a second has time for.
model::ModelConfig shortened(model::ModelConfig config, const eval::ExampleShape& examples,
                             int n_threads) {
  const auto layers = static_cast<double>(config.n_layers);
  const auto tokens = static_cast<double>(
      examples.n_examples * (examples.length - examples.shared) + examples.shared);
  const double flop_per_layer = 2.0 * tokens * model::parameters_per_token(config) / layers;
  const auto affordable = static_cast<Index>(flop_of_an_evaluation * n_threads / flop_per_layer);
  config.n_layers = std::min(config.n_layers, std::max(affordable, Index{2}));
  config.kinds.resize(static_cast<std::size_t>(config.n_layers));
  config.tied_embeddings = true;
  return config;
}

void print_products(const model::Model& model, int n_threads, double seconds) {
  constexpr Index tokens = 512;
  const model::LayerWeights& layer = model.weights().layers.front();
  fmt::print("matrix products, {} tokens\n", tokens);
  for (const auto& [name, w] :
       {std::pair("q, k, v", layer.qkv), std::pair("o", layer.o),
        std::pair("gate, up", layer.gate_up), std::pair("down", layer.down)}) {
    const eval::ProductSpeed speed = eval::measure_product(w, tokens, n_threads, seconds);
    fmt::print("  {:<9} {:>6} x {:<6} {:>8.1f} GFLOP/s  {:>5.1f} % of the {}peak", name, w.d_in(),
               w.d_out(), speed.rate * 1e-9, 100.0 * speed.share,
               speed.bf16_share > 0.0 ? "FMA " : "");
    if (speed.bf16_share > 0.0) {
      fmt::print("  {:>5.1f} % of the BF16 peak", 100.0 * speed.bf16_share);
    }
    fmt::print("\n");
  }
}

/// Tokens per second if the layers that were left out cost what the others do.
double whole_rate(const eval::Speed& speed, Index measured, Index layers) {
  const double head = speed.phases[static_cast<std::size_t>(model::Phase::cross_entropy)];
  const double times = static_cast<double>(layers) / static_cast<double>(measured);
  return static_cast<double>(speed.tokens.total) / (head + times * (speed.seconds - head));
}

void print_memory(const eval::Speed& speed, const model::Model& model) {
  constexpr double mib = 1 << 20;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "  memory: activations {:.1f} MiB (stated bound {:.1f}), weights {:.1f} MiB; largest "
      "of this process {:.1f} MiB\n",
      static_cast<double>(speed.workspace_bytes) / mib,
      static_cast<double>(speed.stated_bytes) / mib,
      static_cast<double>(model::weight_bytes(model.config(), model.format())) / mib,
      static_cast<double>(usage.ru_maxrss) / 1024.0);
}

}  // namespace

int bench_command(const Invocation& invocation) {
  BenchArguments arguments;
  job::RunOptions options = default_options();
  CommandLine line{
      .usage = "d2c bench [--model DIR] [options]",
      .description =
          "Measures how fast this machine evaluates adapters, in about 10 seconds: the peak of "
          "its\n"
          "multiply-adds, the matrix products of the model, and one evaluation (the loss of 10 "
          "examples\n"
          "of 100 tokens under an adapter). Of the model config.json is read, and the format of "
          "the "
          "weights;\n"
          "their values are random. Without --model, --weights auto is f32, or bf16 with --compute "
          "bf16."};
  line.add("Options", bench_options(), arguments);
  add_job_options(line, job::traits::bench, options, "Options");
  if (!parse(line, invocation)) return 0;
  const int threads = options.threads;

  warn_of_threads(threads);
  const model::ModelConfig whole = config_of(arguments.model);
  const eval::ExampleShape shape;
  const model::Precision numbers{options.weights, options.compute};
  const auto format = format_of(arguments.model, numbers);
  const auto model =
      model::Model::random(shortened(whole, shape, threads), format, numbers.compute);
  const model::ModelConfig& config = model.config();
  fmt::print("{}, {} of {} layers, hidden size {}, vocabulary {}, {} weights{}; {} thread{}\n\n",
             config.family, config.n_layers, whole.n_layers, config.hidden_size, config.vocab_size,
             format == ops::WeightFormat::bf16 ? "BF16" : "F32",
             numbers.compute == ops::Arithmetic::bf16 ? ", BF16 arithmetic" : "", threads,
             threads == 1 ? "" : "s");
  print_products(model, threads, 0.1 * arguments.seconds);

  const auto examples = eval::random_examples(shape, config.vocab_size);
  const auto batches = eval::pack(examples, eval::LossOn::response, 2048, 0);
  const auto adapter = eval::random_adapter(config, arguments.rank);
  // As in a run: an evaluation for each thread.
  const std::vector<eval::Workload> evaluations(static_cast<std::size_t>(threads),
                                                {&adapter, batches});
  auto tokens = eval::count_tokens(examples, batches);
  for (Index* count : {&tokens.total, &tokens.computed, &tokens.targets}) *count *= threads;
  const auto speed = eval::measure_speed(model, evaluations, tokens, threads, arguments.seconds);
  fmt::print("\n{}: {} examples under an adapter of rank {}\n{}",
             threads == 1 ? "one evaluation" : fmt::format("{} evaluations side by side", threads),
             examples.size(), arguments.rank, eval::to_text(speed));
  print_memory(speed, model);
  if (threads > 1) {
    fmt::print("  one evaluation by all threads:\n{}",
               eval::to_text(eval::measure_threads(model, {evaluations.data(), 1}, threads,
                                                   arguments.seconds)));
  }
  if (config.n_layers < whole.n_layers) {
    fmt::print("  with all {} layers: about {:.0f} tokens/s\n", whole.n_layers,
               whole_rate(speed, config.n_layers, whole.n_layers));
  }
  return 0;
}

}  // namespace d2c::cli
