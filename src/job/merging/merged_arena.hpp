#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "d2c/comm/communicator.hpp"

#include "adapters/adapter_store.hpp"

namespace d2c::job {

/// Merged adapters in the memory of each node, once for all of its ranks. A module is written in
/// place by the rank that merged it; one rank per node exchanges with the other nodes. The memory
/// is reused, and grows to the largest set of adapters that was ever asked for.
class MergedArena {
 public:
  /// A module of a merged adapter.
  struct Part {
    std::size_t adapter = 0;  ///< index into the set that is held
    ModuleId module;
    int by = 0;      ///< rank that writes it
    Index rank = 0;  ///< largest that it can have
  };

  /// @param comm, store    outlive this object
  /// @param ranks_per_node  see Communicator::nodes
  MergedArena(comm::Communicator& comm, const AdapterStore& store, int ranks_per_node);

  /// Makes room for a set of adapters; what was there before is lost. Collective, with the same
  /// parts on every rank.
  void reset(std::vector<Part> parts);
  /// Stores a part that this rank writes. @pre its rank is no larger than was said
  void write(std::size_t part, const lora::Factors& factors);
  /// After it, every rank sees all parts. Collective.
  void share();

  /// A copy of one of the adapters. @pre share()
  [[nodiscard]] lora::FactorMap adapter(std::size_t index) const;

  /// Bytes that a module of this rank takes.
  [[nodiscard]] static std::size_t bytes_of(const lora::TargetModule& module, Index rank);

 private:
  comm::Communicator& comm_;
  const AdapterStore& store_;
  int ranks_per_node_;
  comm::NodeMap nodes_;
  std::unique_ptr<comm::NodeMemory> memory_;
  std::vector<Part> parts_;
  std::vector<std::size_t> offsets_;                  ///< of each part
  std::vector<std::size_t> node_begin_;               ///< [nodes + 1]
  std::vector<std::vector<std::size_t>> of_adapter_;  ///< parts of each adapter
};

}  // namespace d2c::job
