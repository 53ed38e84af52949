#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "d2c/core/error.hpp"

namespace d2c::comm {

/// Bytes on their way to or from one rank.
struct Parcel {
  int rank = 0;
  std::vector<std::byte> bytes;
};

/// Memory that the ranks of one node see at the same time; each rank keeps its own handle. Ranks
/// may write different bytes of it at the same time.
class NodeMemory {
 public:
  static constexpr std::size_t alignment = 64;
  [[nodiscard]] static constexpr std::size_t aligned(std::size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  }

  NodeMemory() = default;
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;
  virtual ~NodeMemory() = default;
  /// Aligned as said.
  [[nodiscard]] virtual std::span<std::byte> bytes() = 0;
  /// Whether this rank is the one of its node that writes what is written once.
  [[nodiscard]] virtual bool is_writer() const = 0;
  /// After it, every rank of the node sees what the others wrote. Collective over the node.
  virtual void publish() = 0;
  /// Completes memory of which every node wrote its own part: afterwards all ranks of all nodes see
  /// all parts. One rank per node sends and receives; no second copy is made. Collective.
  /// @param part_begin  [nodes + 1] offsets of the nodes' parts, ascending and aligned, the same on
  ///                    every rank
  virtual void share_parts(std::span<const std::size_t> part_begin) = 0;
};

/// The node that each rank is on.
struct NodeMap {
  std::vector<int> of_rank;  ///< [ranks], nodes are numbered in the order of their lowest rank
  int n_nodes = 1;
};

/// Small messages between any ranks, received when the receiver looks, and a barrier that lets its
/// ranks look for messages while they wait.
class Mailbox {
 public:
  using Content = std::array<std::uint64_t, 3>;
  struct Letter {
    int from = 0;
    Content content{};
  };
  Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  virtual ~Mailbox() = default;
  /// Does not wait for the receiver.
  virtual void post(int to, const Content& content) = 0;
  /// A letter that has come; nothing if there is none now.
  [[nodiscard]] virtual std::optional<Letter> look() = 0;
  /// This rank has come to the barrier. @pre it has left the one before
  virtual void arrive() = 0;
  /// Whether all ranks have come; this rank leaves the barrier then. Letters of ranks that have
  /// left may come before.
  [[nodiscard]] virtual bool all_arrived() = 0;
};

/// An exchange that goes on while its ranks work.
class PendingExchange {
 public:
  PendingExchange() = default;
  PendingExchange(const PendingExchange&) = delete;
  PendingExchange& operator=(const PendingExchange&) = delete;
  virtual ~PendingExchange() = default;
  /// Returns when all parcels have arrived and may be used again. Call once.
  virtual void wait() = 0;
};

/// The collectives that d2c needs. The null communicator acts as the only rank, so that every
/// algorithm runs without MPI. All ranks must make the same calls in the same order.
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  [[nodiscard]] bool is_root() const { return rank() == 0; }

  virtual void barrier() = 0;

  /// Element-wise sum. Used only where at most one rank contributes a value other than zero, or
  /// for integers: the order of summation is not fixed.
  virtual void sum(std::span<double> values) = 0;
  virtual void sum(std::span<std::int64_t> values) = 0;
  virtual void minimum(std::span<double> values) = 0;
  virtual void maximum(std::span<double> values) = 0;

  /// The bytes of `root` on every rank.
  [[nodiscard]] virtual std::vector<std::byte> broadcast(std::vector<std::byte> bytes,
                                                         int root) = 0;
  /// The bytes of every rank, by rank, on every rank.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) = 0;
  /// Sends each outgoing parcel to its rank and fills each incoming parcel, whose rank and size the
  /// caller knows, from its sender: no message is spent on sizes. At most one parcel per pair of
  /// ranks and direction; a parcel to oneself is copied. Point to point: ranks without parcels need
  /// not call.
  void exchange(std::span<const Parcel> outgoing, std::span<Parcel> incoming) {
    start_exchange(outgoing, incoming)->wait();
  }
  /// The same, without waiting for it. The parcels must stay where they are until wait(). Exchanges
  /// of a pair of ranks are matched in the order in which they were started.
  [[nodiscard]] virtual std::unique_ptr<PendingExchange> start_exchange(
      std::span<const Parcel> outgoing, std::span<Parcel> incoming) = 0;

  /// @param ranks_per_node  splits nodes into smaller ones of so many ranks; 0 = as the hardware is
  [[nodiscard]] virtual NodeMap nodes(int ranks_per_node) = 0;
  /// One block of memory per node, seen by all ranks on it. Collective; the handle must be
  /// destroyed on all ranks before MPI ends.
  /// @param ranks_per_node  as in nodes()
  [[nodiscard]] virtual std::unique_ptr<NodeMemory> allocate_on_node(std::size_t bytes,
                                                                     int ranks_per_node) = 0;

  /// Collective; the handle must be destroyed on all ranks before MPI ends.
  [[nodiscard]] virtual std::unique_ptr<Mailbox> open_mailbox() = 0;

  /// True for the first rank of a node that asks, false for all others: which of several ranks that
  /// fail by themselves tells why. Needs no other rank.
  [[nodiscard]] virtual bool is_first_to_fail() = 0;
  /// Ends every rank at once with this exit code; does not return under MPI.
  virtual void abort(int exit_code) = 0;
};

[[nodiscard]] std::unique_ptr<Communicator> make_null_communicator();

/// all_gather of plain values.
template <class T>
[[nodiscard]] std::vector<std::vector<T>> all_gather_values(Communicator& comm,
                                                            std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<std::vector<T>> result;
  for (const auto& bytes : comm.all_gather(std::as_bytes(values))) {
    auto& part = result.emplace_back(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(part.data(), bytes.data(), bytes.size());
  }
  return result;
}

/// The text of `root` on every rank.
[[nodiscard]] std::string broadcast_text(Communicator& comm, const std::string& text, int root);

/// The lines of all ranks, in their order, on every rank. Collective.
/// @param lines  each with its line end
[[nodiscard]] std::vector<std::string> gather_lines(Communicator& comm, const std::string& lines);

/// What agree() throws: the same on every rank.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Runs `work` on this rank and agrees with all others on the outcome: if it threw on any rank,
/// every rank throws an AgreedError with the code, place and message of the lowest such rank. For
/// phases that read users' files, so that bad input gives one message and the same exit code
/// everywhere. Collective.
void agree(Communicator& comm, const std::function<void()>& work);

/// MPI for the life of this object (initialised with MPI_THREAD_FUNNELED).
class Environment {
 public:
  /// @throws UsageError if SLURM started several tasks that do not find each other: each would do
  /// the whole job by itself
  Environment(int& argc, char**& argv);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  [[nodiscard]] Communicator& world();

 private:
  std::unique_ptr<Communicator> world_;
};

}  // namespace d2c::comm
