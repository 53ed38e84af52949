#include "similarity.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "d2c/driver/merged_arena.hpp"
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

/// A rank's own adapters up to `last`, in batches whose factors fit into `cap`, at least one each:
/// the more there are in a batch, the less often visitors are made ready for them.
std::vector<std::vector<int>> own_batches(const AdapterStore& adapters, int rank, int last,
                                          std::uint64_t cap) {
  std::vector<std::vector<int>> batches;
  std::uint64_t bytes = 0;
  for (int adapter = 0; adapter <= last; ++adapter) {
    if (adapters.owner(adapter) != rank) continue;
    bytes += adapters.bytes_of(adapter);
    if (batches.empty() || bytes > cap) {
      batches.emplace_back();
      bytes = adapters.bytes_of(adapter);
    }
    batches.back().push_back(adapter);
  }
  return batches;
}

std::vector<const lora::FactorMap*> pointers(std::span<const lora::FactorMap> adapters) {
  std::vector<const lora::FactorMap*> result;
  result.reserve(adapters.size());
  for (const lora::FactorMap& adapter : adapters) result.push_back(&adapter);
  return result;
}

/// Inner products of adapters with others.
using Products = std::vector<double> (*)(std::span<const lora::FactorMap* const>,
                                         std::span<const lora::FactorMap* const>);

/// Upper triangle [n_adapters, n_adapters], once per node. The rows of the adapters that the ranks
/// of a node own stand together.
class Triangle {
 public:
  /// Collective.
  Triangle(comm::Communicator& comm, const AdapterStore& adapters, int ranks_per_node)
      : n_(static_cast<std::size_t>(adapters.n_adapters())), row_(n_) {
    const comm::NodeMap nodes = comm.nodes(ranks_per_node);
    std::size_t end = 0;
    for (int node = 0; node < nodes.n_nodes; ++node) {
      for (std::size_t i = 0; i < n_; ++i) {
        const auto owner = static_cast<std::size_t>(adapters.owner(static_cast<int>(i)));
        if (nodes.of_rank[owner] != node) continue;
        row_[i] = end;
        end += n_ - i;
      }
      end = (end + 7) / 8 * 8;
      part_begin_.push_back(end * sizeof(double));
    }
    memory_ = comm.allocate_on_node(end * sizeof(double), ranks_per_node);
  }

  /// Entry i <= j.
  [[nodiscard]] double& operator()(std::size_t i, std::size_t j) {
    return reinterpret_cast<double*>(memory_->bytes().data())[row_[i] + (j - i)];
  }
  /// After it, all ranks see all rows. Collective.
  void share() { memory_->share_parts(part_begin_); }

 private:
  std::size_t n_;
  std::vector<std::size_t> row_;            ///< where row i begins, in entries
  std::vector<std::size_t> part_begin_{0};  ///< [nodes + 1]
  std::unique_ptr<comm::NodeMemory> memory_;
};

/// Each entry is computed by the rank that owns adapter i. Batches of adapters visit every node.
/// Collective.
/// @param density  share of the entries of the factors that are kept; 1 = as they are
Triangle all_products(comm::Communicator& comm, const AdapterStore& adapters,
                      std::uint64_t batch_bytes, int ranks_per_node, double density,
                      Products products) {
  const auto as_compared = [&](int adapter) {
    lora::FactorMap own = adapters.local(adapter);
    return density < 1 ? lora::trimmed(own, density) : own;
  };
  Triangle result(comm, adapters, ranks_per_node);
  MergedArena visitors(comm, adapters, ranks_per_node);
  for (int begin = 0; begin < adapters.n_adapters();) {
    const std::vector<int> batch = next_batch(adapters, begin, batch_bytes);
    std::vector<MergedArena::Part> parts;
    for (std::size_t v = 0; v < batch.size(); ++v) {
      for (int module = 0; module < static_cast<int>(adapters.modules().size()); ++module) {
        const int rank = adapters.rank_of(batch[v], module);
        if (rank == 0) continue;
        parts.push_back({static_cast<int>(v), module, adapters.owner(batch[v]), rank});
      }
    }
    visitors.reset(parts);
    lora::FactorMap own;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].by != comm.rank()) continue;
      if (p == 0 || parts[p].adapter != parts[p - 1].adapter) {
        own = as_compared(batch[static_cast<std::size_t>(parts[p].adapter)]);
      }
      visitors.write(p, own.at(adapters.modules()[static_cast<std::size_t>(parts[p].module)].name));
    }
    visitors.share();

    std::vector<lora::FactorMap> visiting;
    for (int v = 0; v < std::ssize(batch); ++v) visiting.push_back(visitors.adapter(v));
    for (const std::vector<int>& hosts :
         own_batches(adapters, comm.rank(), batch.back(), batch_bytes)) {
      std::vector<lora::FactorMap> hosting;
      for (const int i : hosts) hosting.push_back(as_compared(i));
      const auto first = static_cast<std::size_t>(
          std::lower_bound(batch.begin(), batch.end(), hosts.front()) - batch.begin());
      const std::vector<double> values =
          products(pointers(hosting), pointers(std::span(visiting).subspan(first)));
      const std::size_t n_visiting = batch.size() - first;
      for (std::size_t h = 0; h < hosts.size(); ++h) {
        for (std::size_t v = 0; v < n_visiting; ++v) {
          if (batch[first + v] < hosts[h]) continue;
          result(static_cast<std::size_t>(hosts[h]), static_cast<std::size_t>(batch[first + v])) =
              values[h * n_visiting + v];
        }
      }
    }
    begin += static_cast<int>(batch.size());
  }
  result.share();
  return result;
}

}  // namespace

std::vector<double> task_similarity(comm::Communicator& comm, const AdapterStore& adapters,
                                    std::span<const int> adapter_of_task, std::uint64_t batch_bytes,
                                    int ranks_per_node) {
  Triangle products = all_products(comm, adapters, batch_bytes, ranks_per_node, 1.0, lora::gram);
  const std::size_t n_tasks = adapter_of_task.size();
  std::vector<double> similarity(n_tasks * n_tasks);
  for (std::size_t s = 0; s < n_tasks; ++s) {
    for (std::size_t t = s; t < n_tasks; ++t) {
      const auto [i, j] = std::minmax({static_cast<std::size_t>(adapter_of_task[s]),
                                       static_cast<std::size_t>(adapter_of_task[t])});
      const double cosine = lora::cosine(products(i, j), products(i, i), products(j, j));
      similarity[s * n_tasks + t] = similarity[t * n_tasks + s] = cosine;
    }
  }
  return similarity;
}

std::vector<double> trimmed_task_gram(comm::Communicator& comm, const AdapterStore& adapters,
                                      std::span<const int> adapter_of_task,
                                      std::uint64_t batch_bytes, int ranks_per_node) {
  constexpr double density = 0.2;
  Triangle products =
      all_products(comm, adapters, batch_bytes, ranks_per_node, density, lora::factor_gram);
  std::vector<double> gram;
  gram.reserve(adapter_of_task.size() * adapter_of_task.size());
  for (const int s : adapter_of_task) {
    for (const int t : adapter_of_task) {
      const auto [i, j] = std::minmax({static_cast<std::size_t>(s), static_cast<std::size_t>(t)});
      gram.push_back(products(i, j));
    }
  }
  return gram;
}

}  // namespace d2c::driver
