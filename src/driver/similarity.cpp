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

/// Inner products of this rank's adapter i with the visiting j >= i, into row i of `products`.
void compare(const AdapterStore& adapters, int i, std::span<const int> batch,
             std::span<const lora::FactorMap> visitors, std::span<double> row) {
  std::vector<const lora::FactorMap*> cols;
  std::vector<int> index;
  for (std::size_t j = 0; j < batch.size(); ++j) {
    if (batch[j] < i) continue;
    cols.push_back(&visitors[j]);
    index.push_back(batch[j]);
  }
  if (cols.empty()) return;
  const lora::FactorMap* own = &adapters.local(i);
  const auto products = lora::gram(std::span(&own, 1), cols);
  for (std::size_t j = 0; j < index.size(); ++j) {
    row[static_cast<std::size_t>(index[j])] = products[j];
  }
}

}  // namespace

std::vector<double> task_similarity(comm::Communicator& comm, const AdapterStore& adapters,
                                    std::span<const int> adapter_of_task,
                                    std::uint64_t batch_bytes) {
  const auto n = static_cast<std::size_t>(adapters.n_adapters());
  std::vector<double> products(n * n, 0.0);  // upper triangle; one rank contributes each entry
  for (int begin = 0; begin < adapters.n_adapters();) {
    const std::vector<int> batch = next_batch(adapters, begin, batch_bytes);
    const std::vector<lora::FactorMap> visitors = adapters.gather(batch);
    for (std::size_t i = 0; i < n; ++i) {
      if (adapters.owner(static_cast<int>(i)) != comm.rank()) continue;
      compare(adapters, static_cast<int>(i), batch, visitors,
              std::span(products).subspan(i * n, n));
    }
    begin += static_cast<int>(batch.size());
  }
  comm.sum(products);

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

}  // namespace d2c::driver
