#include "similarity/similarity.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "d2c/lora/module_products.hpp"

#include "similarity/visiting_factors.hpp"

namespace d2c::job {
namespace {

/// Whether the product of adapters i and j is computed by the owner of i: for each pair by one of
/// the two, and for every adapter with about half of the others.
bool is_host(AdapterId i, AdapterId j, int n_adapters) {
  const int distance = (j.value() - i.value() + n_adapters) % n_adapters;
  return 2 * distance < n_adapters || (2 * distance == n_adapters && i < j);
}

/// Products of every pair of adapters, [n_adapters, n_adapters], once per node. The rows of the
/// adapters that the ranks of a node own stand together; columns stand in the order of the rows.
class NodeProducts {
 public:
  /// Collective.
  NodeProducts(comm::Communicator& comm, const AdapterStore& adapters, int ranks_per_node)
      : place_(adapters.n_adapters()),
        // A row fills whole lines, which is how nodes share them.
        stride_((place_.size() + 7) / 8 * 8) {
    const comm::NodeMap nodes = comm.nodes(ranks_per_node);
    const auto node_of = [&](int rank) { return nodes.of_rank[static_cast<std::size_t>(rank)]; };
    std::size_t end = 0;
    for (int node = 0; node < nodes.n_nodes; ++node) {
      for (const AdapterId i : place_.ids()) {
        if (node_of(adapters.owner(i)) == node) place_[i] = end++;
      }
      part_begin_.push_back(end * stride_ * sizeof(double));
    }
    for (int rank = 0; rank < comm.size(); ++rank) {
      if (node_of(rank) != node_of(comm.rank())) continue;
      if (rank < comm.rank()) ++this_neighbour_;
      ++n_neighbours_;
    }
    memory_ = comm.allocate_on_node(part_begin_.back(), ranks_per_node);
    for (const AdapterId i : place_.ids()) {
      if (adapters.owner(i) == comm.rank()) std::fill_n(row(i), stride_, 0.0);
    }
  }

  /// @pre the rank that calls it owns adapter i, and is_host(i, j)
  void add(AdapterId i, AdapterId j, double value) { row(i)[place_[j]] += value; }

  /// After it, all ranks see all values. Collective.
  /// @param as_seen  the value that is seen, from the products of (i, j), (i, i) and (j, j)
  template <class AsSeen>
  void share(AsSeen as_seen) {
    memory_->share_parts(part_begin_);
    IdVector<AdapterId, double> squares;
    for (const AdapterId i : place_.ids()) squares.push_back(row(i)[place_[i]]);
    memory_->publish();
    for (const AdapterId i : place_.ids()) {
      if (!is_shared_out_here(i)) continue;
      for (const AdapterId j : place_.ids()) {
        if (!is_host(i, j, place_.n())) continue;
        double& value = row(i)[place_[j]];
        value = as_seen(value, squares[i], squares[j]);
      }
    }
    memory_->publish();
    for (const AdapterId i : place_.ids()) {
      if (!is_shared_out_here(i)) continue;
      for (const AdapterId j : place_.ids()) {
        if (!is_host(i, j, place_.n())) row(i)[place_[j]] = row(j)[place_[i]];
      }
    }
    memory_->publish();
  }

  [[nodiscard]] static cluster::SimilarityMatrix of_tasks(
      std::shared_ptr<NodeProducts> products, const IdVector<TaskId, AdapterId>& adapter_of_task) {
    IdVector<TaskId, std::size_t> place_of_task;
    for (const AdapterId adapter : adapter_of_task) {
      place_of_task.push_back(products->place_[adapter]);
    }
    const std::span<const double> values = products->values();
    const std::size_t stride = products->stride_;
    return {values, stride, std::move(place_of_task), std::move(products)};
  }

 private:
  /// The ranks of a node divide the work.
  [[nodiscard]] bool is_shared_out_here(AdapterId i) const {
    return i.value() % n_neighbours_ == this_neighbour_;
  }
  [[nodiscard]] std::span<double> values() {
    const std::span<std::byte> bytes = memory_->bytes();
    return {reinterpret_cast<double*>(bytes.data()), bytes.size() / sizeof(double)};
  }
  [[nodiscard]] double* row(AdapterId adapter) { return &values()[place_[adapter] * stride_]; }

  IdVector<AdapterId, std::size_t> place_;  ///< of an adapter among the rows
  std::size_t stride_;
  std::vector<std::size_t> part_begin_{0};  ///< [nodes + 1]
  int this_neighbour_ = 0;                  ///< of this rank among the ranks of its node
  int n_neighbours_ = 0;
  std::unique_ptr<comm::NodeMemory> memory_;
};

/// Computes the products of all pairs, module by module. Batches of factors visit every node, whose
/// ranks compare them with those of their own adapters.
class AllPairs {
 public:
  /// @param density  share of the entries of the factors that are kept; 1 = as they are
  AllPairs(comm::Communicator& comm, const AdapterStore& adapters, std::uint64_t batch_bytes,
           int ranks_per_node, int n_threads, double density, lora::Kind kind, NodeProducts& result)
      : comm_(comm),
        adapters_(adapters),
        batch_bytes_(batch_bytes),
        density_(density),
        kind_(kind),
        threads_(n_threads),
        result_(result),
        visiting_(comm, adapters, ranks_per_node) {}

  /// Collective.
  void compute() {
    std::vector<Part> batch;
    std::uint64_t bytes = 0;
    const auto flush = [&] {
      if (!batch.empty()) meet(std::exchange(batch, {}));
      bytes = 0;
    };
    for (const ModuleId module : adapters_.modules().ids()) {
      for (const AdapterId adapter : adapters_.ids()) {
        if (adapters_.rank_of(adapter, module) == 0) continue;
        const Part part{module, adapter};
        const std::uint64_t size = VisitingFactors::bytes_of(adapters_, part);
        if (bytes + size > batch_bytes_) flush();
        batch.push_back(part);
        bytes += size;
      }
    }
    flush();
  }

 private:
  using Part = VisitingFactors::Part;

  /// Neighbouring adapters of this rank whose factors of a module are made ready at a time.
  struct Hosts {
    std::vector<AdapterId> adapters;
    std::uint64_t bytes = 0;
  };

  [[nodiscard]] std::shared_ptr<const lora::Factors> fetch(const Part& part) const {
    auto factors = adapters_.find(part.adapter, part.module, {});
    if (density_ >= 1) return factors;
    return std::make_shared<const lora::Factors>(lora::trimmed(*factors, density_));
  }

  /// This rank's adapters that have the module. Factors and what is made of them stay within the
  /// cap of a batch, if one adapter alone does.
  [[nodiscard]] std::vector<Hosts> hosts_of(ModuleId module) const {
    std::vector<Hosts> result;
    for (const AdapterId adapter : adapters_.ids()) {
      if (adapters_.owner(adapter) != comm_.rank() || adapters_.rank_of(adapter, module) == 0)
        continue;
      const std::uint64_t bytes = VisitingFactors::bytes_of(adapters_, {module, adapter});
      if (result.empty() || result.back().bytes + bytes > batch_bytes_ / 2) result.emplace_back();
      result.back().adapters.push_back(adapter);
      result.back().bytes += bytes;
    }
    return result;
  }

  /// Products of all factors of a batch with those of this rank's adapters.
  void meet(std::vector<Part> batch) {
    visiting_.bring(std::move(batch), [this](const Part& part) { return fetch(part); });
    const std::vector<Part>& parts = visiting_.parts();
    for (std::size_t begin = 0; begin < parts.size();) {
      const ModuleId module = parts[begin].module;
      std::vector<AdapterId> adapters;
      std::vector<lora::Components> visitors;
      for (; begin < parts.size() && parts[begin].module == module; ++begin) {
        adapters.push_back(parts[begin].adapter);
        visitors.push_back(visiting_.components(begin));
      }
      if (module != module_) {
        module_ = module;
        hosts_ = hosts_of(module);
        ready_.reset();
      }
      for (const Hosts& hosts : hosts_) {
        make_ready(hosts);
        ready_->multiply(
            visitors,
            [&](std::size_t h, std::size_t v) {
              return is_host(hosts.adapters[h], adapters[v], adapters_.n_adapters());
            },
            [&](std::size_t h, std::size_t v, double product) {
              result_.add(hosts.adapters[h], adapters[v], product);
            });
      }
    }
  }

  /// Hosts stay ready from batch to batch where all of a module fit.
  void make_ready(const Hosts& hosts) {
    if (ready_ != nullptr && hosts_.size() == 1) return;
    ready_.reset();
    std::vector<std::shared_ptr<const lora::Factors>> factors;
    std::vector<const lora::Factors*> pointers;
    for (const AdapterId adapter : hosts.adapters) {
      pointers.push_back(factors.emplace_back(fetch({module_, adapter})).get());
    }
    const lora::TargetModule& target = adapters_.modules()[module_];
    ready_ = lora::make_products(threads_, kind_, {target.d_in, target.d_out}, pointers);
  }

  comm::Communicator& comm_;
  const AdapterStore& adapters_;
  std::uint64_t batch_bytes_;
  double density_;
  lora::Kind kind_;
  ops::ThreadTeam threads_;
  NodeProducts& result_;
  VisitingFactors visiting_;
  ModuleId module_ = ModuleId::none();  ///< whose hosts these are
  std::vector<Hosts> hosts_;            ///< of this rank
  std::unique_ptr<lora::ModuleProducts> ready_;
};

}  // namespace

cluster::SimilarityMatrix task_similarity(comm::Communicator& comm, const AdapterStore& adapters,
                                          const IdVector<TaskId, AdapterId>& adapter_of_task,
                                          std::uint64_t batch_bytes, int ranks_per_node,
                                          int n_threads) {
  auto products = std::make_shared<NodeProducts>(comm, adapters, ranks_per_node);
  AllPairs(comm, adapters, batch_bytes, ranks_per_node, n_threads, 1.0, lora::Kind::update,
           *products)
      .compute();
  products->share(lora::cosine);
  return NodeProducts::of_tasks(std::move(products), adapter_of_task);
}

cluster::SimilarityMatrix trimmed_task_gram(comm::Communicator& comm, const AdapterStore& adapters,
                                            const IdVector<TaskId, AdapterId>& adapter_of_task,
                                            std::uint64_t batch_bytes, int ranks_per_node,
                                            int n_threads) {
  constexpr double density = 0.2;
  auto products = std::make_shared<NodeProducts>(comm, adapters, ranks_per_node);
  AllPairs(comm, adapters, batch_bytes, ranks_per_node, n_threads, density, lora::Kind::factors,
           *products)
      .compute();
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

}  // namespace d2c::job
