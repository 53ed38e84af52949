// How fast the inner products of all pairs of adapters are computed, with one thread, in processor
// time.
//
//   bench_similarity [--seconds S]

#include <algorithm>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/ops/peak.hpp"

#include "serial_gram.hpp"

namespace d2c::lora {
namespace {

struct Sizes {
  const char* name;
  int n_hosts;
  int n_visitors;
  Index rank;
  Index d_in;
  Index d_out;
};

std::vector<lora::FactorMap> random_adapters(int n, const Sizes& shape, std::mt19937& rng) {
  std::normal_distribution<float> normal;
  std::vector<lora::FactorMap> adapters(static_cast<std::size_t>(n));
  for (lora::FactorMap& adapter : adapters) {
    lora::Factors& f = adapter["module"];
    f = {Matrix(shape.rank, shape.d_in), Matrix(shape.d_out, shape.rank), 1.0};
    for (Matrix* matrix : {&f.a, &f.b})
      for (float& value : matrix->values()) value = normal(rng);
  }
  return adapters;
}

std::vector<const lora::FactorMap*> pointers(std::span<const lora::FactorMap> adapters) {
  std::vector<const lora::FactorMap*> result;
  for (const lora::FactorMap& adapter : adapters) result.push_back(&adapter);
  return result;
}

using Products = std::vector<double> (*)(std::span<const lora::FactorMap* const>,
                                         std::span<const lora::FactorMap* const>);

/// Processor seconds of the fastest of the repetitions that fit into `seconds`.
double measure(Products products, std::span<const lora::FactorMap* const> hosts,
               std::span<const lora::FactorMap* const> visitors, double seconds) {
  double best = 1e30;
  for (double used = 0; used < seconds;) {
    const double start = thread_cpu_seconds();
    static_cast<void>(products(hosts, visitors));
    const double took = thread_cpu_seconds() - start;
    best = std::min(best, took);
    used += took;
  }
  return best;
}

void run(double seconds) {
  fmt::print("FMA peak {:.0f} GFLOP/s\n", ops::fma_peak(0.2) * 1e-9);
  fmt::print("{:<34} {:>6} {:>9} {:>14} {:>14}\n", "", "hosts", "visitors", "updates", "factors");
  std::mt19937 rng(1);
  for (const Sizes& shape :
       {Sizes{"rank 8, 128 -> 384", 500, 500, 8, 128, 384},
        Sizes{"rank 16, 576 -> 1536", 40, 200, 16, 576, 1536},
        Sizes{"rank 32, 2048 -> 8192", 10, 200, 32, 2048, 8192},
        Sizes{"rank 32, 2048 -> 512", 10, 200, 32, 2048, 512},
        Sizes{"rank 32, 2048 -> 8192, many hosts", 100, 100, 32, 2048, 8192}}) {
    const auto hosts = random_adapters(shape.n_hosts, shape, rng);
    const auto visitors = random_adapters(shape.n_visitors, shape, rng);
    const double values = static_cast<double>(shape.n_hosts) * shape.n_visitors *
                          static_cast<double>(shape.rank * (shape.d_in + shape.d_out));
    const auto gflops = [&](Products products, double per_value) {
      return per_value * values / measure(products, pointers(hosts), pointers(visitors), seconds) *
             1e-9;
    };
    fmt::print("{:<34} {:>6} {:>9} {:>6.1f} GFLOP/s {:>6.1f} GFLOP/s\n", shape.name, shape.n_hosts,
               shape.n_visitors, gflops(gram, 2.0 * static_cast<double>(shape.rank)),
               gflops(factor_gram, 2.0));
  }
}

}  // namespace
}  // namespace d2c::lora

int main(int argc, char** argv) {
  double seconds = 1.0;
  if (argc == 3 && std::string(argv[1]) == "--seconds") seconds = std::atof(argv[2]);
  d2c::lora::run(seconds);
  return 0;
}
