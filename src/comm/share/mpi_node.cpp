#include "share/mpi_node.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "d2c/core/error.hpp"

#include "pieces.hpp"

namespace d2c::comm {
namespace {

/// Whether there is memory at an address that processes share, as far as the system tells.
bool is_shared_memory(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream mappings("/proc/self/maps");
  if (!mappings) return true;
  for (std::string line; std::getline(mappings, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char shared = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*3c%c", &begin, &end, &shared) == 3 &&
        begin <= wanted && wanted < end) {
      return shared == 's';
    }
  }
  return false;
}

/// A window of MPI shared memory; all of it belongs to the first rank's segment, so that it is
/// placed in the memory next to that rank.
class SharedWindow final : public NodeMemory {
 public:
  SharedWindow(std::shared_ptr<const NodeComms> comms, std::size_t bytes)
      : comms_(std::move(comms)), size_(bytes) {
    void* own = nullptr;
    const auto own_bytes = static_cast<MPI_Aint>((is_writer() ? bytes : 0) + alignment);
    // MPI's own way to fail is to print and to end the job.
    MPI_Comm_set_errhandler(comms_->node(), MPI_ERRORS_RETURN);
    const int error =
        MPI_Win_allocate_shared(own_bytes, 1, MPI_INFO_NULL, comms_->node(), &own, &window_);
    MPI_Comm_set_errhandler(comms_->node(), MPI_ERRORS_ARE_FATAL);
    // Open MPI 4.1 reports success, with a window that is none, where it cannot map the memory.
    int n_ranks = 1;
    MPI_Comm_size(comms_->node(), &n_ranks);
    if (error != MPI_SUCCESS || (n_ranks > 1 && !is_shared_memory(own))) throw std::bad_alloc();
    MPI_Aint whole = 0;
    int unit = 0;
    MPI_Win_shared_query(window_, 0, &whole, &unit, &base_);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, window_);
  }
  ~SharedWindow() override {
    // Freeing waits for all ranks, and a failing rank must not wait for those that go on.
    if (std::uncaught_exceptions() > 0) return;
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }

  [[nodiscard]] std::span<std::byte> bytes() override {
    // Pages are mapped at different addresses in each process, but at the same offset in a page.
    void* aligned = base_;
    std::size_t room = size_ + alignment;
    return {static_cast<std::byte*>(std::align(alignment, size_, aligned, room)), size_};
  }
  [[nodiscard]] bool is_writer() const override { return comms_->is_leader(); }
  void publish() override {
    MPI_Win_sync(window_);
    MPI_Barrier(comms_->node());
    MPI_Win_sync(window_);
  }
  void share_parts(std::span<const std::size_t> part_begin) override {
    D2C_EXPECTS(std::ssize(part_begin) == comms_->map().n_nodes + 1);
    publish();
    if (comms_->map().n_nodes == 1) return;
    if (comms_->is_leader()) gather_parts(part_begin);
    publish();
  }

 private:
  /// Each leader gives its part to the others.
  void gather_parts(std::span<const std::size_t> part_begin) {
    D2C_EXPECTS(part_begin.back() <= size_);
    for (int node = 0; node < comms_->map().n_nodes; ++node) {
      const std::size_t begin = part_begin[static_cast<std::size_t>(node)];
      const std::size_t end = part_begin[static_cast<std::size_t>(node) + 1];
      for_each_piece(end - begin, [&](std::size_t at, int count) {
        MPI_Bcast(bytes().data() + begin + at, count, MPI_BYTE, node, comms_->leaders());
      });
    }
  }

  std::shared_ptr<const NodeComms> comms_;
  MPI_Win window_ = MPI_WIN_NULL;
  void* base_ = nullptr;
  std::size_t size_;
};

}  // namespace

NodeComms::NodeComms(MPI_Comm all, int ranks_per_node) {
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(all, &rank);
  MPI_Comm_size(all, &size);
  MPI_Comm_split_type(all, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node_);
  int rank_on_node = 0;
  MPI_Comm_rank(node_, &rank_on_node);
  if (ranks_per_node > 0) {
    MPI_Comm part = MPI_COMM_NULL;
    MPI_Comm_split(node_, rank_on_node / ranks_per_node, rank, &part);
    MPI_Comm_free(&node_);
    node_ = part;
    MPI_Comm_rank(node_, &rank_on_node);
  }
  MPI_Comm_split(all, rank_on_node == 0 ? 0 : MPI_UNDEFINED, rank, &leaders_);

  int number = 0;
  if (leaders_ != MPI_COMM_NULL) MPI_Comm_rank(leaders_, &number);
  MPI_Bcast(&number, 1, MPI_INT, 0, node_);
  map_.of_rank.resize(static_cast<std::size_t>(size));
  MPI_Allgather(&number, 1, MPI_INT, map_.of_rank.data(), 1, MPI_INT, all);
  map_.n_nodes = *std::max_element(map_.of_rank.begin(), map_.of_rank.end()) + 1;
}

NodeComms::~NodeComms() {
  if (std::uncaught_exceptions() > 0) return;
  if (leaders_ != MPI_COMM_NULL) MPI_Comm_free(&leaders_);
  MPI_Comm_free(&node_);
}

std::unique_ptr<NodeMemory> allocate_shared_window(std::shared_ptr<const NodeComms> comms,
                                                   std::size_t bytes) {
  return std::make_unique<SharedWindow>(std::move(comms), bytes);
}

}  // namespace d2c::comm
