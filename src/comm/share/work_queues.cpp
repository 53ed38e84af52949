#include "d2c/comm/work_queues.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::comm {
namespace {

constexpr std::size_t cache_line = NodeMemory::alignment;
/// Nodes that a rank asks before it gives up. All ranks of a node ask, each its own choice.
constexpr std::size_t asked_nodes = 4;

enum LetterKind : std::uint64_t { request, answer };

/// A rank on each of a few other nodes, chosen by a stream of this rank's own, so that ranks which
/// run dry at the same time ask different ones.
std::vector<int> choose_asked(const NodeMap& nodes, int rank) {
  std::vector<std::vector<int>> ranks_of(static_cast<std::size_t>(nodes.n_nodes));
  for (int other = 0; other < std::ssize(nodes.of_rank); ++other) {
    ranks_of[static_cast<std::size_t>(nodes.of_rank[static_cast<std::size_t>(other)])].push_back(
        other);
  }
  ranks_of.erase(ranks_of.begin() + nodes.of_rank[static_cast<std::size_t>(rank)]);
  CounterRng rng(hash_name("work queues"), static_cast<std::uint64_t>(rank));
  std::vector<int> asked;
  while (asked.size() < asked_nodes && !ranks_of.empty()) {
    const auto node = ranks_of.begin() + static_cast<std::ptrdiff_t>(rng.below(ranks_of.size()));
    asked.push_back((*node)[rng.below(node->size())]);
    ranks_of.erase(node);
  }
  return asked;
}

void pause() { std::this_thread::sleep_for(std::chrono::microseconds(20)); }

}  // namespace

WorkQueues::WorkQueues(Communicator& comm, int ranks_per_node, Balance balance)
    : comm_(comm), balance_(balance) {
  if (balance_ == Balance::fixed) return;
  const NodeMap nodes = comm.nodes(ranks_per_node);
  for (int rank = 0; rank < comm.size(); ++rank) {
    if (nodes.of_rank[static_cast<std::size_t>(rank)] !=
        nodes.of_rank[static_cast<std::size_t>(comm.rank())]) {
      continue;
    }
    if (rank == comm.rank()) own_place_ = n_neighbours_;
    ++n_neighbours_;
  }
  asked_ = choose_asked(nodes, comm.rank());
  memory_ = comm.allocate_on_node(n_neighbours_ * cache_line, ranks_per_node);
  mailbox_ = comm.open_mailbox();
  store_own({});
}

void WorkQueues::open(std::span<const std::uint32_t> piece_begin) {
  const auto rank = static_cast<std::size_t>(comm_.rank());
  D2C_EXPECTS(rank + 1 < piece_begin.size());
  store_own({piece_begin[rank], piece_begin[rank + 1]});
  if (balance_ == Balance::fixed) return;
  next_asked_ = 0;
  comm_.barrier();
}

std::optional<std::uint32_t> WorkQueues::next() {
  if (balance_ == Balance::fixed) return take_own();
  // Twice: what is on its way from one rank to another is seen at neither.
  for (int tries = 0; tries < 2;) {
    serve();
    if (const auto own = take_own()) return own;
    Range more = take_half();
    if (more.size() == 0 && !received_.empty()) {
      more = received_.back();
      received_.pop_back();
    }
    if (more.size() > 0) {
      // Nobody takes from an empty word, so nobody can have changed it meanwhile.
      store_own({more.begin + 1, more.end});
      return more.begin;
    }
    if (!waiting_ && next_asked_ < asked_.size()) ask_next_node();
    if (waiting_) {
      pause();
    } else {
      ++tries;
    }
  }
  return std::nullopt;
}

void WorkQueues::close() {
  if (balance_ == Balance::fixed) {
    comm_.barrier();
    return;
  }
  // A rank that waits for an answer has not arrived, so that it is answered before all leave.
  mailbox_->arrive();
  while (!mailbox_->all_arrived()) {
    serve();
    pause();
  }
}

std::uint64_t& WorkQueues::word(std::size_t place) {
  if (balance_ == Balance::fixed) return own_word_;
  return *reinterpret_cast<std::uint64_t*>(memory_->bytes().data() + place * cache_line);
}

WorkQueues::Range WorkQueues::load(std::size_t place) {
  return Range::of(std::atomic_ref(word(place)).load());
}

void WorkQueues::store_own(Range range) { std::atomic_ref(word(own_place_)).store(range.word()); }

bool WorkQueues::replace(std::size_t place, Range seen, Range left) {
  std::uint64_t expected = seen.word();
  return std::atomic_ref(word(place)).compare_exchange_strong(expected, left.word());
}

std::optional<std::uint32_t> WorkQueues::take_own(std::uint32_t least) {
  for (Range range = load(own_place_); range.size() >= std::max(least, 1U);
       range = load(own_place_)) {
    if (replace(own_place_, range, {range.begin + 1, range.end})) return range.begin;
  }
  return std::nullopt;
}

WorkQueues::Range WorkQueues::take_half() {
  while (true) {
    std::size_t fullest = 0;
    Range most;
    for (std::size_t place = 0; place < n_neighbours_; ++place) {
      const Range range = load(place);
      if (range.size() <= most.size()) continue;
      most = range;
      fullest = place;
    }
    if (most.size() == 0) return {};
    const std::uint32_t first = most.end - (most.size() + 1) / 2;
    if (replace(fullest, most, {most.begin, first})) return {first, most.end};
  }
}

void WorkQueues::serve() {
  if (asked_.empty()) return;
  while (const auto letter = mailbox_->look()) {
    if (letter->content[0] == request) {
      const Range range = take_half();
      mailbox_->post(letter->from, {answer, range.begin, range.end});
      continue;
    }
    waiting_ = false;
    const Range range{static_cast<std::uint32_t>(letter->content[1]),
                      static_cast<std::uint32_t>(letter->content[2])};
    if (range.size() == 0) continue;
    received_.push_back(range);
    next_asked_ = 0;
  }
}

void WorkQueues::ask_next_node() {
  mailbox_->post(asked_[next_asked_++], {request, 0, 0});
  waiting_ = true;
}

}  // namespace d2c::comm
