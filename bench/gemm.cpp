// The packed panel kernel against Eigen and, where it was found, oneDNN, on one thread.
//
//   OMP_NUM_THREADS=1 bench_gemm [--benchmark_filter=...] [--benchmark_min_time=1]
//
// A row is one shape y [T, d_out] = x [T, d_in] W^T. The libraries and the FMA peak take turns
// within one row, each timed with the thread's processor time. Counters, medians over the turns:
//   peak     GFLOP/s of fused multiply-adds in registers
//   own      share of that peak, likewise bf16 (own, weights in BF16), bf16_arithmetic (own, where
//            the processor has it: twice the peak at best), eigen and onednn
//   /onednn  median ratio of the speeds of own and oneDNN (above 1: own is faster)

#include <algorithm>
#include <functional>
#include <random>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <benchmark/benchmark.h>
#ifdef D2C_BENCH_ONEDNN
#include <dnnl.hpp>
#endif

#include "d2c/core/cpu_time.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/peak.hpp"
#include "d2c/ops/thread_team.hpp"
#include "d2c/tensor/eigen.hpp"

namespace d2c::ops {
namespace {

ThreadTeam one_thread;

struct Problem {
  Problem(Index tokens, Index d_in, Index d_out)
      : x(tokens, d_in), w(d_out, d_in), y(tokens, d_out) {
    std::mt19937 rng(1);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    for (float& value : x.values()) value = uniform(rng);
    for (float& value : w.values()) value = uniform(rng);
  }
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(x.rows()) * static_cast<double>(x.cols()) *
           static_cast<double>(w.rows());
  }
  Matrix x, w, y;
};

using Run = std::function<void()>;

template <class Value>
Run own_run(Problem& p, Arithmetic arithmetic = Arithmetic::f32) {
  std::vector<Value, AlignedAllocator<Value>> panels(std::is_same_v<Value, float>
                                                         ? packed_floats(p.w.rows(), p.w.cols())
                                                         : packed_bfloats(p.w.rows(), p.w.cols()));
  pack_rows(rows_of(std::as_const(p.w)), 0, p.w.rows(), panels);
  return [&p, arithmetic, panels = std::move(panels)] {
    const PackedMatrix w(p.w.rows(), p.w.cols(), panels.data());
    linear(one_thread, rows_of(std::as_const(p.x)), w.with(arithmetic), rows_of(p.y));
  };
}

Run eigen_run(Problem& p) {
  return [&p] {
    as_eigen(p.y).noalias() =
        as_eigen(std::as_const(p.x)) * as_eigen(std::as_const(p.w)).transpose();
  };
}

#ifdef D2C_BENCH_ONEDNN
/// Weights in the layout that oneDNN prefers.
Run onednn_run(Problem& p) {
  using namespace dnnl;
  const engine cpu(engine::kind::cpu, 0);
  const auto f32 = memory::data_type::f32;
  const memory::desc x({p.x.rows(), p.x.cols()}, f32, memory::format_tag::ab);
  const memory::desc y({p.y.rows(), p.y.cols()}, f32, memory::format_tag::ab);
  const memory::desc w({p.x.cols(), p.w.rows()}, f32, memory::format_tag::ba);
  const memory::desc any({p.x.cols(), p.w.rows()}, f32, memory::format_tag::any);
  const matmul::primitive_desc description(matmul::desc(x, any, y), cpu);
  stream queue(cpu);
  memory plain(w, cpu, p.w.data());
  memory packed(description.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();
  return [&p, x, y, cpu, packed, queue, product = matmul(description)]() mutable {
    product.execute(queue, {{DNNL_ARG_SRC, memory(x, cpu, p.x.data())},
                            {DNNL_ARG_WEIGHTS, packed},
                            {DNNL_ARG_DST, memory(y, cpu, p.y.data())}});
    queue.wait();
  };
}
#endif

/// FLOP/s over about 4 ms.
double speed(const Run& run, double flops) {
  const double start = thread_cpu_seconds();
  double elapsed = 0.0;
  double done = 0.0;
  do {
    run();
    done += flops;
    elapsed = thread_cpu_seconds() - start;
  } while (elapsed < 0.004);
  return done / elapsed;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Arguments: tokens, d_in, d_out.
void gemm(benchmark::State& state) {
  Problem problem(state.range(0), state.range(1), state.range(2));
  std::vector<std::pair<std::string, Run>> runs{{"own", own_run<float>(problem)},
                                                {"bf16", own_run<BFloat16>(problem)},
                                                {"eigen", eigen_run(problem)}};
  if (is_supported(Arithmetic::bf16)) {
    runs.emplace_back("bf16_arithmetic", own_run<BFloat16>(problem, Arithmetic::bf16));
  }
#ifdef D2C_BENCH_ONEDNN
  runs.emplace_back("onednn", onednn_run(problem));
#endif
  for (const auto& [name, run] : runs) run();
  std::vector<double> peaks;
  std::vector<std::vector<double>> speeds(runs.size());
  for (auto _ : state) {
    peaks.push_back(fma_peak(0.002));
    for (std::size_t r = 0; r < runs.size(); ++r) {
      speeds[r].push_back(speed(runs[r].second, problem.flops()));
    }
  }
  state.counters["peak"] = median(peaks) * 1e-9;
  const auto ratios = [](const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> result;
    std::ranges::transform(a, b, std::back_inserter(result), std::divides<>());
    return median(result);
  };
  for (std::size_t r = 0; r < runs.size(); ++r) {
    state.counters[runs[r].first] = ratios(speeds[r], peaks);
    if (runs[r].first == "onednn") state.counters["/onednn"] = ratios(speeds[0], speeds[r]);
  }
}

/// Arguments: d_in, d_out, rank. Folding an adapter into packed weights, W + B A, against applying
/// its factors to tokens. Counters: fold (ms), factors (us per token), tokens = fold / factors: the
/// tokens per adapter from which on folding would be faster.
void fold(benchmark::State& state) {
  constexpr Index tokens = 512;
  constexpr Index rows_at_a_time = 64;
  const Index d_in = state.range(0);
  const Index d_out = state.range(1);
  const Index rank = state.range(2);
  Problem down(tokens, d_in, rank);
  Problem up(d_out, rank, d_in);  // rows of B times A: x = B, w = A^T
  Matrix w(d_out, d_in);
  Matrix y(tokens, d_out);
  Matrix u(tokens, rank);
  Matrix a(rank, d_in);
  const LowRankUpdate update(
      one_thread, std::vector<LowRankUpdate::Part>{
                      {rows_of(std::as_const(a)), rows_of(std::as_const(up.x)), 1.0, 0}});
  AlignedFloats a_panels(packed_floats(d_in, rank));
  pack_rows(rows_of(std::as_const(up.w)), 0, d_in, a_panels);
  const PackedMatrix packed_a(d_in, rank, a_panels.data());
  AlignedFloats panels(packed_floats(d_out, d_in));
  const Run fold_all = [&] {
    for (Index row = 0; row < d_out; row += rows_at_a_time) {
      const Index n = std::min(rows_at_a_time, d_out - row);
      const Rows block = rows_of(w).rows(row, n);
      add_linear(one_thread, rows_of(std::as_const(up.x)).rows(row, n), packed_a, block);
      pack_rows(block, row, d_out, panels);
    }
  };
  const Run factors = [&] {
    update.project(one_thread, rows_of(std::as_const(down.x)), rows_of(u));
    update.expand(one_thread, rows_of(std::as_const(u)), rows_of(y));
  };
  std::vector<double> folds;
  std::vector<double> thin;
  for (auto _ : state) {
    folds.push_back(1.0 / speed(fold_all, 1.0));
    thin.push_back(1.0 / speed(factors, static_cast<double>(tokens)));
  }
  state.counters["fold"] = 1e3 * median(folds);
  state.counters["factors"] = 1e6 * median(thin);
  state.counters["tokens"] = median(folds) / median(thin);
}
BENCHMARK(fold)
    ->ArgNames({"in", "out", "rank"})
    ->Iterations(15)
    ->Args({128, 384, 8})
    ->Args({576, 1536, 16})
    ->Args({2048, 8192, 16});

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tokens", "in", "out"})->Iterations(25)->Unit(benchmark::kMillisecond);
  for (const int tokens : {64, 256, 640, 1024}) {
    for (const auto& [d_in, d_out] :
         std::vector<std::pair<int, int>>{{576, 960}, {576, 1536}, {576, 3072}, {1536, 576}}) {
      bench->Args({tokens, d_in, d_out});
    }
  }
  for (const int tokens : {64, 256, 640}) bench->Args({tokens, 2048, 8192});
  bench->Args({256, 8192, 2048})->Args({256, 288, 32000});
  for (const int tokens : {48, 240}) {  // TinyStories-656K
    bench->Args({tokens, 128, 256})->Args({tokens, 128, 768})->Args({tokens, 384, 128});
  }
  for (const int rank : {8, 16, 24, 32, 64}) {  // LoRA: down and up
    bench->Args({256, 2048, rank})->Args({256, rank, 2048});
  }
  bench->Args({256, 576, 16})->Args({256, 16, 1536});
}
BENCHMARK(gemm)->Apply(shapes);

}  // namespace
}  // namespace d2c::ops

BENCHMARK_MAIN();
