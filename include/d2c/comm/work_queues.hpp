#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "d2c/comm/communicator.hpp"

namespace d2c::comm {

/// Who does what a list holds.
enum class Balance {
  fixed,    ///< every rank its piece
  dynamic,  ///< a rank that has finished takes over what others have not begun
};

/// Hands out the items of a list that all ranks know. Each rank has a piece of it and takes items
/// from the front. With Balance::dynamic, one that runs dry takes the second half of what the
/// fullest rank of its node has left, by atomic operations on memory that the node shares: nobody
/// has to serve it. When its whole node is dry, it asks one rank on each of a few other nodes, who
/// answer between two items. What was taken, others can take again.
class WorkQueues {
 public:
  /// Collective. @param ranks_per_node  see Communicator::nodes
  WorkQueues(Communicator& comm, int ranks_per_node, Balance balance);

  /// Starts a list. Collective.
  /// @param piece_begin  [ranks + 1] where each rank's piece begins
  void open(std::span<const std::uint32_t> piece_begin);
  /// An item for this rank, which no other gets; nothing when there is none left to take.
  [[nodiscard]] std::optional<std::uint32_t> next();
  /// One of this rank's own, if it has at least `least` left. Any thread, while none is in next().
  [[nodiscard]] std::optional<std::uint32_t> take_own(std::uint32_t least = 1);
  /// Answers ranks that asked; next() does so too. Not needed with Balance::fixed.
  void serve();
  /// Ends a list: waits until all ranks have found that nothing is left. Collective.
  void close();

 private:
  /// What a rank has left, as it stands in one word.
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    [[nodiscard]] std::uint32_t size() const { return end > begin ? end - begin : 0; }
    [[nodiscard]] std::uint64_t word() const { return (std::uint64_t{begin} << 32) | end; }
    static Range of(std::uint64_t word) {
      return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
    }
  };

  [[nodiscard]] std::uint64_t& word(std::size_t place);
  [[nodiscard]] Range load(std::size_t place);
  void store_own(Range range);
  /// Replaces what a rank has left if it is still `seen`. @return whether it was
  [[nodiscard]] bool replace(std::size_t place, Range seen, Range left);
  /// The second half of what the fullest rank of this node has left; empty if all are.
  [[nodiscard]] Range take_half();
  void ask_next_node();

  Communicator& comm_;
  Balance balance_;
  std::vector<int> asked_;              ///< rank to be asked on each of some other nodes
  std::unique_ptr<NodeMemory> memory_;  ///< a word per rank of this node, each in a line of its own
  std::unique_ptr<Mailbox> mailbox_;
  std::uint64_t own_word_ = 0;    ///< in place of memory_ with Balance::fixed
  std::size_t n_neighbours_ = 0;  ///< ranks of this node
  std::size_t own_place_ = 0;     ///< of this rank among them
  std::vector<Range> received_;   ///< from other nodes, not yet in the own word
  std::size_t next_asked_ = 0;    ///< index into `asked_`
  bool waiting_ = false;          ///< for an answer
};

}  // namespace d2c::comm
