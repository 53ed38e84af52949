#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <mpi.h>

#include "d2c/comm/communicator.hpp"

namespace d2c::comm {

/// The communicators of one way to see nodes. Freed with the last who uses them.
class NodeComms {
 public:
  /// Collective over `all`. @param ranks_per_node  see Communicator::nodes
  NodeComms(MPI_Comm all, int ranks_per_node);
  ~NodeComms();
  NodeComms(const NodeComms&) = delete;
  NodeComms& operator=(const NodeComms&) = delete;

  [[nodiscard]] MPI_Comm node() const { return node_; }
  /// The first rank of each node, in the order of nodes; MPI_COMM_NULL on other ranks.
  [[nodiscard]] MPI_Comm leaders() const { return leaders_; }
  [[nodiscard]] bool is_leader() const { return leaders_ != MPI_COMM_NULL; }
  [[nodiscard]] const NodeMap& map() const { return map_; }

 private:
  MPI_Comm node_ = MPI_COMM_NULL;
  MPI_Comm leaders_ = MPI_COMM_NULL;
  NodeMap map_;
};

/// Collective over all nodes.
[[nodiscard]] std::unique_ptr<NodeMemory> allocate_shared_window(
    std::shared_ptr<const NodeComms> comms, std::size_t bytes);

}  // namespace d2c::comm
