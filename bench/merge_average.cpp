// How much the truncated merge saves over an SVD of the dense update.
//
//   bench_merge_average [--benchmark_filter=...]
//
// The counter `difference` is the relative Frobenius distance to the truncated dense SVD. The dense
// SVD of 2048 x 8192 takes most of a minute.

#include <random>
#include <vector>

#include <Eigen/SVD>
#include <benchmark/benchmark.h>

#include "d2c/merge/merge.hpp"
#include "d2c/tensor/eigen.hpp"

namespace d2c::merge {
namespace {

constexpr Index merged_rank = 32;

struct Adapters {
  std::vector<lora::Factors> factors;
  std::vector<Member> members;
};

/// Members share a part of their update, as adapters of related tasks do: the merged spectrum has a
/// gap, without which the best approximation would not be unique.
Adapters related_adapters(Index d_out, Index d_in, Index rank, int count) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  const auto fill = [&](Matrix& m) {
    for (float& x : m.values()) x = normal(rng);
  };
  lora::Factors common{Matrix(rank, d_in), Matrix(d_out, rank), 1.0};
  fill(common.a);
  fill(common.b);
  Adapters adapters;
  for (int i = 0; i < count; ++i) {
    lora::Factors f{Matrix(rank, d_in), Matrix(d_out, rank), 2.0};
    fill(f.a);
    fill(f.b);
    as_eigen(f.a) += as_eigen(common.a);
    as_eigen(f.b) += as_eigen(common.b);
    adapters.factors.push_back(std::move(f));
  }
  for (int i = 0; i < count; ++i) {
    adapters.members.push_back({&adapters.factors[static_cast<std::size_t>(i)], 1.0 / count,
                                static_cast<std::uint64_t>(i), "adapter"});
  }
  return adapters;
}

Eigen::MatrixXd dense_sum(const Adapters& adapters) {
  const lora::Factors& first = adapters.factors.front();
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(first.d_out(), first.d_in());
  for (const Member& m : adapters.members) {
    sum += m.weight * m.factors->scaling * as_eigen(m.factors->b).cast<double>() *
           as_eigen(m.factors->a).cast<double>();
  }
  return sum;
}

/// Arguments: d_out, d_in, rank of a member, members.
void merge_by(benchmark::State& state, std::string_view name, const Options& options) {
  const Adapters adapters = related_adapters(state.range(0), state.range(1), state.range(2),
                                             static_cast<int>(state.range(3)));
  const Method& method = find_method(name);
  for (auto _ : state) {
    benchmark::DoNotOptimize(method.function("module", adapters.members, options));
  }
}

void dense_svd(benchmark::State& state) {
  const Adapters adapters = related_adapters(state.range(0), state.range(1), state.range(2),
                                             static_cast<int>(state.range(3)));
  const Eigen::MatrixXd sum = dense_sum(adapters);
  Eigen::MatrixXd best;
  for (auto _ : state) {
    const Eigen::BDCSVD<Eigen::MatrixXd> svd(sum, Eigen::ComputeThinU | Eigen::ComputeThinV);
    best = svd.matrixU().leftCols(merged_rank) *
           svd.singularValues().head(merged_rank).asDiagonal() *
           svd.matrixV().leftCols(merged_rank).transpose();
  }
  const lora::Factors merged =
      find_method("average").function("module", adapters.members, {.merged_rank = merged_rank});
  const Eigen::MatrixXd product =
      as_eigen(merged.b).cast<double>() * as_eigen(merged.a).cast<double>();
  state.counters["difference"] = (product - best).norm() / best.norm();
}

BENCHMARK_CAPTURE(merge_by, average, "average", {.merged_rank = merged_rank})
    ->Unit(benchmark::kMillisecond)
    ->Args({2048, 8192, 32, 8})
    ->Args({2048, 2048, 32, 8})
    ->Args({512, 2048, 32, 8})
    ->Args({2048, 8192, 16, 4})
    ->Args({2048, 8192, 32, 40})
    ->Args({512, 2048, 32, 40})
    ->Args({512, 2048, 64, 1});
BENCHMARK_CAPTURE(merge_by, linear, "linear", {})
    ->Unit(benchmark::kMillisecond)
    ->Args({2048, 8192, 32, 8});
BENCHMARK_CAPTURE(merge_by, core_ties, "core_ties", {.merged_rank = merged_rank, .density = 0.5})
    ->Unit(benchmark::kMillisecond)
    ->Args({2048, 8192, 32, 8});
BENCHMARK_CAPTURE(merge_by, ties_svd, "ties_svd", {.merged_rank = merged_rank, .density = 0.5})
    ->Unit(benchmark::kMillisecond)
    ->Args({2048, 8192, 32, 8});
BENCHMARK(dense_svd)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->Args({512, 2048, 32, 8})
    ->Args({2048, 8192, 32, 8});

}  // namespace
}  // namespace d2c::merge

BENCHMARK_MAIN();
