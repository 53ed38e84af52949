#include "d2c/eval/speed.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/countdown.hpp"
#include "d2c/eval/recent_adapter.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/peak.hpp"

#include "cpu/cpu_engine.hpp"

namespace d2c::eval {
namespace {

Matrix random_matrix(CounterRng& rng, Index rows, Index cols) {
  Matrix m(rows, cols);
  for (float& value : m.values()) value = static_cast<float>(0.02 * rng.uniform() - 0.01);
  return m;
}

model::Work total_work(const model::ModelConfig& config, std::span<const Workload> work) {
  model::Work total;
  for (const Workload& load : work) {
    const double extra = load.adapter == nullptr ? 0.0 : parameters(*load.adapter);
    for (const Batch& batch : load.batches) {
      const model::Work of_batch = model::work(config, batch.forest, batch.targets, extra);
      total.useful += of_batch.useful;
      total.done += of_batch.done;
    }
  }
  return total;
}

/// As a search has them: all tasks under one adapter, then the next.
class Units final : public UnitSource {
 public:
  Units(CpuEngine& engine, std::span<const Workload> work)
      : work_(work), left_(work.size()), adapters_([&](Index index) {
          const lora::FactorMap* factors = at(index).adapter;
          return factors == nullptr ? nullptr : engine.prepare(*factors);
        }) {}

  [[nodiscard]] std::optional<Unit> take(Index least) override {
    const auto index = left_.take(least);
    if (!index) return std::nullopt;
    const Workload& load = at(*index);
    // An adapter goes by the first evaluation that has it.
    const auto first = std::ranges::find(work_, load.adapter, &Workload::adapter) - work_.begin();
    return Unit{*index, adapters_(first), load.batches, nullptr};
  }
  void report(const Unit&, UnitResult) override {}

 private:
  [[nodiscard]] const Workload& at(Index index) const {
    return work_[static_cast<std::size_t>(index)];
  }

  std::span<const Workload> work_;
  Countdown left_;
  RecentAdapter adapters_;
};

void evaluate_all(CpuEngine& engine, std::span<const Workload> work) {
  Units units(engine, work);
  engine.losses(units);
}

/// The largest bound of the activations of any batch.
std::size_t stated_bytes(const CpuEngine& engine, std::span<const Workload> work) {
  std::size_t largest = 0;
  for (const Workload& load : work) {
    Index rank = 0;
    if (load.adapter != nullptr) {
      for (const auto& [module, factors] : *load.adapter) rank = std::max(rank, factors.rank());
    }
    for (const Batch& batch : load.batches) {
      const auto size = model::size_of(batch.forest, std::ssize(batch.targets));
      // At worst q, k and v have it.
      largest = std::max(largest, engine.activation_bytes(size, 3 * rank));
    }
  }
  return largest;
}

/// Medians over the repetitions of some work, each beside a measurement of the peak.
struct Repetitions {
  std::size_t count = 0;
  double seconds = 0.0;
  double best_seconds = 0.0;
  double peak = 0.0;
  double bf16_peak = 0.0;      ///< where the work uses BF16 arithmetic, else 0
  double per_peak_flop = 0.0;  ///< repetitions in the time of one operation of the peak
};

/// @param after_warm_up  called between the first, untimed execution and the others
template <class Work, class AfterWarmUp>
Repetitions repeat(Work work, AfterWarmUp after_warm_up, ops::Arithmetic arithmetic, int n_threads,
                   double seconds) {
  const Stopwatch watch;
  const auto now = [&] { return n_threads == 1 ? thread_cpu_seconds() : watch.seconds(); };
  work();
  after_warm_up();
  std::vector<double> times;
  std::vector<double> peaks;
  std::vector<double> bf16_peaks;
  std::vector<double> rates;
  for (const double end = now() + seconds; times.empty() || now() < end;) {
    peaks.push_back(ops::fma_peak() * n_threads);
    if (arithmetic == ops::Arithmetic::bf16) bf16_peaks.push_back(ops::bf16_peak() * n_threads);
    const double start = now();
    work();
    times.push_back(now() - start);
    rates.push_back(1.0 / (times.back() * peaks.back()));
  }
  return {.count = times.size(),
          .seconds = median(times),
          .best_seconds = *std::ranges::min_element(times),
          .peak = median(peaks),
          .bf16_peak = bf16_peaks.empty() ? 0.0 : median(bf16_peaks),
          .per_peak_flop = median(rates)};
}

}  // namespace

model::ModelConfig llama_config(const LlamaShape& shape) {
  model::ModelConfig config;
  config.family = "llama";
  config.vocab_size = shape.vocabulary;
  config.hidden_size = shape.hidden;
  config.intermediate_size = shape.intermediate;
  config.n_layers = shape.layers;
  config.n_heads = shape.heads;
  config.n_kv_heads = shape.kv_heads;
  config.head_dim = shape.hidden / shape.heads;
  config.max_positions = 2048;
  config.tied_embeddings = true;
  config.kinds.assign(static_cast<std::size_t>(shape.layers), {});
  model::RopeConfig& rope = config.ropes.emplace_back();
  for (Index i = 0; i < config.head_dim / 2; ++i) {
    rope.inverse_frequencies.push_back(
        std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim)));
  }
  return config;
}

lora::FactorMap random_adapter(const model::ModelConfig& config, Index rank) {
  CounterRng rng(1, hash_name("adapter"));
  lora::FactorMap factors;
  for (const lora::TargetModule& module : model::target_modules(config)) {
    if (module.name == config.names.embedding || module.name == config.names.head) continue;
    factors[module.name] = {random_matrix(rng, rank, module.d_in),
                            random_matrix(rng, module.d_out, rank), 1.0};
  }
  return factors;
}

double parameters(const lora::FactorMap& adapter) {
  return std::accumulate(adapter.begin(), adapter.end(), 0.0, [](double sum, const auto& module) {
    const lora::Factors& f = module.second;
    return sum + static_cast<double>(f.rank() * (f.d_in() + f.d_out()));
  });
}

std::vector<Example> random_examples(const ExampleShape& shape, Index vocabulary) {
  CounterRng rng(1, hash_name("examples"));
  std::vector<Example> examples(static_cast<std::size_t>(shape.n_examples));
  for (Example& example : examples) {
    if (&example != &examples.front()) {
      example.ids.assign(examples.front().ids.begin(), examples.front().ids.begin() + shape.shared);
    }
    while (std::ssize(example.ids) < shape.length) {
      example.ids.push_back(
          static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocabulary))));
    }
    example.prompt_len = shape.length - shape.response;
  }
  return examples;
}

Speed measure_speed(const model::Model& model, std::span<const Workload> work,
                    const TokenCounts& tokens, int n_threads, double seconds) {
  CpuEngine engine(model, n_threads);
  Speed speed{.tokens = tokens, .work = total_work(model.config(), work)};
  const Repetitions repetitions =
      repeat([&] { evaluate_all(engine, work); }, [&] { engine.record_phases(); },
             model.arithmetic(), n_threads, seconds);
  speed.phases = engine.phases();
  for (double& phase : speed.phases) phase /= static_cast<double>(repetitions.count);
  speed.stated_bytes = stated_bytes(engine, work);
  speed.workspace_bytes =
      engine.workspace_bytes() + static_cast<std::size_t>(n_threads) * ops::linear_scratch_bytes();
  speed.seconds = repetitions.seconds;
  speed.best_seconds = repetitions.best_seconds;
  speed.peak = repetitions.peak;
  speed.bf16_peak = repetitions.bf16_peak;
  speed.useful_share = speed.work.useful * repetitions.per_peak_flop;
  speed.done_share = speed.work.done * repetitions.per_peak_flop;
  return speed;
}

ThreadSpeed measure_threads(const model::Model& model, std::span<const Workload> work,
                            int n_threads, double seconds) {
  D2C_EXPECTS(n_threads > 1);
  CpuEngine one_thread(model, 1);
  CpuEngine all_threads(model, n_threads);
  ops::LoopTimes loops;
  ThreadSpeed speed{.n_threads = n_threads};
  std::vector<double> speed_ups;
  struct Time {
    double processor, clock;
  };
  const auto repeat_once = [&](CpuEngine& engine) {
    const Stopwatch watch;
    const double start = thread_cpu_seconds();
    evaluate_all(engine, work);
    return Time{thread_cpu_seconds() - start, watch.seconds()};
  };
  static_cast<void>(repeat_once(one_thread));
  static_cast<void>(repeat_once(all_threads));
  all_threads.record_loops(&loops);
  for (const Stopwatch watch; speed_ups.empty() || watch.seconds() < seconds;) {
    const Time one = repeat_once(one_thread);
    const Time all = repeat_once(all_threads);
    speed.one_thread += one.processor;
    speed.serial += all.processor;
    speed_ups.push_back(one.clock / all.clock);
  }
  speed.speed_up = median(speed_ups);
  speed.serial += loops.waking - loops.caller;
  speed.shared = loops.work;
  speed.longest = loops.longest;
  speed.loops = static_cast<double>(loops.loops);
  for (double* sum :
       {&speed.one_thread, &speed.serial, &speed.shared, &speed.longest, &speed.loops}) {
    *sum /= static_cast<double>(speed_ups.size());
  }
  return speed;
}

std::string to_text(const ThreadSpeed& speed) {
  return fmt::format(
      "  {} threads: {:.4g} s of processor time ({:.4g} s with one), serial part {:.2f} %, {:.0f} "
      "shared loops, balance {:.1f} %; speed-up {:.2f} on the clock (bound by the processor times "
      "{:.2f})\n",
      speed.n_threads, speed.serial + speed.shared, speed.one_thread,
      100.0 * speed.serial / (speed.serial + speed.shared), speed.loops, 100.0 * speed.balance(),
      speed.speed_up, speed.bound());
}

ProductSpeed measure_product(const ops::PackedMatrix& w, Index n_tokens, int n_threads,
                             double seconds) {
  CounterRng rng(1, hash_name("product"));
  const Matrix x = random_matrix(rng, n_tokens, w.d_in());
  Matrix y(n_tokens, w.d_out());
  ops::ThreadTeam threads(n_threads);
  const Repetitions repetitions =
      repeat([&] { ops::linear(threads, ops::rows_of(x), w, ops::rows_of(y)); }, [] {},
             w.arithmetic(), n_threads, seconds);
  const double flops = 2.0 * static_cast<double>(n_tokens) * static_cast<double>(w.d_in()) *
                       static_cast<double>(w.d_out());
  const double rate = flops / repetitions.seconds;
  return {rate, flops * repetitions.per_peak_flop,
          repetitions.bf16_peak > 0.0 ? rate / repetitions.bf16_peak : 0.0};
}

std::string to_text(const Speed& speed) {
  const double total = std::accumulate(speed.phases.begin(), speed.phases.end(), 0.0);
  std::string text = fmt::format(
      "  {:.4g} s (best {:.4g}) for {} tokens, {} of them distinct (sharing factor {:.2f}), {} "
      "predictions\n"
      "  {:.0f} tokens/s, {:.0f} distinct tokens/s\n"
      "  {:.1f} GFLOP/s useful = {:.1f} % of the FMA peak of {:.1f} GFLOP/s ({:.1f} % carried "
      "out)\n",
      speed.seconds, speed.best_seconds, speed.tokens.total, speed.tokens.computed,
      static_cast<double>(speed.tokens.total) / static_cast<double>(speed.tokens.computed),
      speed.tokens.targets, static_cast<double>(speed.tokens.total) / speed.seconds,
      static_cast<double>(speed.tokens.computed) / speed.seconds,
      speed.useful_share * speed.peak * 1e-9, 100.0 * speed.useful_share, speed.peak * 1e-9,
      100.0 * speed.done_share);
  if (speed.bf16_peak > 0.0) {
    text += fmt::format("  {:.1f} % of the BF16 peak of {:.1f} GFLOP/s\n",
                        100.0 * speed.useful_share * speed.peak / speed.bf16_peak,
                        speed.bf16_peak * 1e-9);
  }
  for (std::size_t p = 0; p < speed.phases.size(); ++p) {
    text += fmt::format("  {:<14} {:>9.3f} ms  {:>5.1f} %\n", model::phase_names[p],
                        1e3 * speed.phases[p], 100.0 * speed.phases[p] / total);
  }
  return text;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace d2c::eval
