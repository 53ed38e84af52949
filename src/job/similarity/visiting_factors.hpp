#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/lora/module_products.hpp"

#include "adapters/adapter_store.hpp"

namespace d2c::job {

/// Factors of a few modules and adapters in the memory of each node, once for all of its ranks.
/// Each rank writes those of the adapters it owns; one rank per node exchanges with the other
/// nodes. The memory is reused.
class VisitingFactors {
 public:
  struct Part {
    ModuleId module;
    AdapterId adapter;
  };
  using Fetch = std::function<std::shared_ptr<const lora::Factors>(const Part& part)>;

  /// @param comm, store    outlive this object
  /// @param ranks_per_node  see Communicator::nodes
  VisitingFactors(comm::Communicator& comm, const AdapterStore& store, int ranks_per_node);

  /// Replaces what is there. Collective, with the same parts on every rank.
  /// @param parts  adapters that have the module
  /// @param fetch  factors of a part whose adapter this rank owns
  void bring(std::vector<Part> parts, const Fetch& fetch);

  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
  /// Valid until other factors are brought.
  [[nodiscard]] lora::Components components(std::size_t part) const;

  /// Bytes that the factors of a part take.
  [[nodiscard]] static std::uint64_t bytes_of(const AdapterStore& store, const Part& part);

 private:
  struct Place {
    std::size_t scaling = 0;  ///< offsets in the memory
    std::size_t rows = 0;
  };
  void lay_out();

  comm::Communicator& comm_;
  const AdapterStore& store_;
  int ranks_per_node_;
  comm::NodeMap nodes_;
  std::unique_ptr<comm::NodeMemory> memory_;
  std::vector<Part> parts_;
  std::vector<Place> places_;            ///< of each part
  std::vector<std::size_t> node_begin_;  ///< [nodes + 1]
};

}  // namespace d2c::job
