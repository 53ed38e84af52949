#include "similarity.hpp"

#include <algorithm>

#include "d2c/lora/similarity.hpp"

namespace d2c::driver {
namespace {

/// Adapters from `begin` on whose factors fit into `cap`; at least one.
std::vector<int> next_batch(const AdapterStore& adapters, int begin, std::uint64_t cap) {
  std::vector<int> batch;
  std::uint64_t bytes = 0;
  for (int adapter = begin; adapter < adapters.n_adapters(); ++adapter) {
    bytes += adapters.bytes_of(adapter);
    if (!batch.empty() && bytes > cap) break;
    batch.push_back(adapter);
  }
  return batch;
}

/// Inner products of one adapter with several.
using Products = std::vector<double> (*)(std::span<const lora::FactorMap* const>,
                                         std::span<const lora::FactorMap* const>);

/// Inner products of this rank's adapter i with the visiting j >= i, into row i of `products`.
void compare(const lora::FactorMap& own, int i, std::span<const int> batch,
             std::span<const lora::FactorMap> visitors, Products products, std::span<double> row) {
  std::vector<const lora::FactorMap*> cols;
  std::vector<int> index;
  for (std::size_t j = 0; j < batch.size(); ++j) {
    if (batch[j] < i) continue;
    cols.push_back(&visitors[j]);
    index.push_back(batch[j]);
  }
  if (cols.empty()) return;
  const lora::FactorMap* const one = &own;
  const auto values = products(std::span(&one, 1), cols);
  for (std::size_t j = 0; j < index.size(); ++j) {
    row[static_cast<std::size_t>(index[j])] = values[j];
  }
}

/// Upper triangle [n_adapters, n_adapters]; each entry is computed by one rank. Collective.
/// @param density  share of the entries of the factors that are kept; 1 = as they are
std::vector<double> all_products(comm::Communicator& comm, const AdapterStore& adapters,
                                 std::uint64_t batch_bytes, double density, Products products) {
  const auto n = static_cast<std::size_t>(adapters.n_adapters());
  std::vector<double> result(n * n, 0.0);
  for (int begin = 0; begin < adapters.n_adapters();) {
    const std::vector<int> batch = next_batch(adapters, begin, batch_bytes);
    std::vector<lora::FactorMap> visitors = adapters.gather(batch);
    if (density < 1) {
      for (lora::FactorMap& visitor : visitors) visitor = lora::trimmed(visitor, density);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const auto adapter = static_cast<int>(i);
      if (adapters.owner(adapter) != comm.rank()) continue;
      const auto row = std::span(result).subspan(i * n, n);
      if (density < 1) {
        compare(lora::trimmed(adapters.local(adapter), density), adapter, batch, visitors, products,
                row);
      } else {
        compare(adapters.local(adapter), adapter, batch, visitors, products, row);
      }
    }
    begin += static_cast<int>(batch.size());
  }
  comm.sum(result);
  return result;
}

}  // namespace

std::vector<double> task_similarity(comm::Communicator& comm, const AdapterStore& adapters,
                                    std::span<const int> adapter_of_task,
                                    std::uint64_t batch_bytes) {
  const auto n = static_cast<std::size_t>(adapters.n_adapters());
  const std::vector<double> products = all_products(comm, adapters, batch_bytes, 1.0, lora::gram);
  const std::size_t n_tasks = adapter_of_task.size();
  std::vector<double> similarity(n_tasks * n_tasks);
  for (std::size_t s = 0; s < n_tasks; ++s) {
    for (std::size_t t = s; t < n_tasks; ++t) {
      const auto [i, j] = std::minmax({static_cast<std::size_t>(adapter_of_task[s]),
                                       static_cast<std::size_t>(adapter_of_task[t])});
      const double cosine =
          lora::cosine(products[i * n + j], products[i * n + i], products[j * n + j]);
      similarity[s * n_tasks + t] = similarity[t * n_tasks + s] = cosine;
    }
  }
  return similarity;
}

std::vector<double> trimmed_task_gram(comm::Communicator& comm, const AdapterStore& adapters,
                                      std::span<const int> adapter_of_task,
                                      std::uint64_t batch_bytes) {
  constexpr double density = 0.2;
  const auto n = static_cast<std::size_t>(adapters.n_adapters());
  const auto products = all_products(comm, adapters, batch_bytes, density, lora::factor_gram);
  std::vector<double> gram;
  gram.reserve(adapter_of_task.size() * adapter_of_task.size());
  for (const int s : adapter_of_task) {
    for (const int t : adapter_of_task) {
      const auto [i, j] = std::minmax({static_cast<std::size_t>(s), static_cast<std::size_t>(t)});
      gram.push_back(products[i * n + j]);
    }
  }
  return gram;
}

}  // namespace d2c::driver
