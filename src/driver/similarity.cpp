#include "similarity.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

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

/// Products of every pair of adapters, [n_adapters, n_adapters], once per node. The rows of the
/// adapters that the ranks of a node own stand together; columns stand in the order of the rows.
class NodeProducts {
 public:
  /// Collective.
  NodeProducts(comm::Communicator& comm, const AdapterStore& adapters, int ranks_per_node)
      : place_(static_cast<std::size_t>(adapters.n_adapters())),
        // A row fills whole lines, which is how nodes share them.
        stride_((place_.size() + 7) / 8 * 8) {
    const comm::NodeMap nodes = comm.nodes(ranks_per_node);
    const auto node_of = [&](int rank) { return nodes.of_rank[static_cast<std::size_t>(rank)]; };
    int end = 0;
    for (int node = 0; node < nodes.n_nodes; ++node) {
      for (std::size_t i = 0; i < place_.size(); ++i) {
        if (node_of(adapters.owner(static_cast<int>(i))) == node) place_[i] = end++;
      }
      part_begin_.push_back(static_cast<std::size_t>(end) * stride_ * sizeof(double));
    }
    for (int rank = 0; rank < comm.size(); ++rank) {
      if (node_of(rank) != node_of(comm.rank())) continue;
      if (rank < comm.rank()) ++this_neighbour_;
      ++n_neighbours_;
    }
    memory_ = comm.allocate_on_node(part_begin_.back(), ranks_per_node);
  }

  /// @pre the rank that calls it owns adapter i
  void set(int i, int j, double value) { row(i)[place(j)] = value; }

  /// After it, all ranks see all values, of which each pair was set once, as (i, j) with i <= j.
  /// Collective.
  /// @param as_seen  the value that is seen, from the products of (i, j), (i, i) and (j, j)
  template <class AsSeen>
  void share(AsSeen as_seen) {
    memory_->share_parts(part_begin_);
    std::vector<double> squares;
    for (int i = 0; i < n(); ++i) squares.push_back(row(i)[place(i)]);
    memory_->publish();
    // The ranks of a node divide the work.
    for (int i = this_neighbour_; i < n(); i += n_neighbours_) {
      for (int j = i; j < n(); ++j) {
        double& value = row(i)[place(j)];
        value = as_seen(value, squares[static_cast<std::size_t>(i)],
                        squares[static_cast<std::size_t>(j)]);
      }
    }
    memory_->publish();
    for (int i = this_neighbour_; i < n(); i += n_neighbours_) {
      for (int j = 0; j < i; ++j) row(i)[place(j)] = row(j)[place(i)];
    }
    memory_->publish();
  }

  [[nodiscard]] static cluster::SimilarityMatrix of_tasks(std::shared_ptr<NodeProducts> products,
                                                          std::span<const int> adapter_of_task) {
    std::vector<int> place_of_task;
    place_of_task.reserve(adapter_of_task.size());
    for (const int adapter : adapter_of_task) {
      place_of_task.push_back(static_cast<int>(products->place(adapter)));
    }
    const std::span<const double> values = products->values();
    const std::size_t stride = products->stride_;
    return {values, stride, std::move(place_of_task), std::move(products)};
  }

 private:
  [[nodiscard]] int n() const { return static_cast<int>(place_.size()); }
  [[nodiscard]] std::size_t place(int adapter) const {
    return static_cast<std::size_t>(place_[static_cast<std::size_t>(adapter)]);
  }
  [[nodiscard]] std::span<double> values() {
    const std::span<std::byte> bytes = memory_->bytes();
    return {reinterpret_cast<double*>(bytes.data()), bytes.size() / sizeof(double)};
  }
  [[nodiscard]] double* row(int adapter) { return &values()[place(adapter) * stride_]; }

  std::vector<int> place_;  ///< of an adapter among the rows
  std::size_t stride_;
  std::vector<std::size_t> part_begin_{0};  ///< [nodes + 1]
  int this_neighbour_ = 0;                  ///< of this rank among the ranks of its node
  int n_neighbours_ = 0;
  std::unique_ptr<comm::NodeMemory> memory_;
};

/// Each entry is computed by the rank that owns adapter i. Batches of adapters visit every node.
/// Collective.
/// @param density  share of the entries of the factors that are kept; 1 = as they are
void compute_products(comm::Communicator& comm, const AdapterStore& adapters,
                      std::uint64_t batch_bytes, int ranks_per_node, double density,
                      Products products, NodeProducts& result) {
  const auto as_compared = [&](int adapter) {
    lora::FactorMap own = adapters.local(adapter);
    return density < 1 ? lora::trimmed(own, density) : own;
  };
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
          result.set(hosts[h], batch[first + v], values[h * n_visiting + v]);
        }
      }
    }
    begin += static_cast<int>(batch.size());
  }
}

}  // namespace

cluster::SimilarityMatrix task_similarity(comm::Communicator& comm, const AdapterStore& adapters,
                                          std::span<const int> adapter_of_task,
                                          std::uint64_t batch_bytes, int ranks_per_node) {
  auto products = std::make_shared<NodeProducts>(comm, adapters, ranks_per_node);
  compute_products(comm, adapters, batch_bytes, ranks_per_node, 1.0, lora::gram, *products);
  products->share(lora::cosine);
  return NodeProducts::of_tasks(std::move(products), adapter_of_task);
}

cluster::SimilarityMatrix trimmed_task_gram(comm::Communicator& comm, const AdapterStore& adapters,
                                            std::span<const int> adapter_of_task,
                                            std::uint64_t batch_bytes, int ranks_per_node) {
  constexpr double density = 0.2;
  auto products = std::make_shared<NodeProducts>(comm, adapters, ranks_per_node);
  compute_products(comm, adapters, batch_bytes, ranks_per_node, density, lora::factor_gram,
                   *products);
  products->share([](double product, double, double) { return product; });
  return NodeProducts::of_tasks(std::move(products), adapter_of_task);
}

cluster::SimilarityProvider kept(cluster::SimilarityProvider provider) {
  return [provider = std::move(provider),
          values = std::make_shared<std::optional<cluster::SimilarityMatrix>>()] {
    if (!values->has_value()) *values = provider();
    return **values;
  };
}

std::vector<std::int64_t> on_root(comm::Communicator& comm,
                                  const std::function<std::vector<std::int64_t>()>& work) {
  std::vector<std::int64_t> result;
  comm::agree(comm, [&] {
    if (comm.is_root()) result = work();
  });
  const auto bytes = std::as_bytes(std::span(result));
  const std::vector<std::byte> all =
      comm.broadcast(std::vector<std::byte>(bytes.begin(), bytes.end()), 0);
  result.resize(all.size() / sizeof(std::int64_t));
  if (!all.empty()) std::memcpy(result.data(), all.data(), all.size());
  return result;
}

}  // namespace d2c::driver
