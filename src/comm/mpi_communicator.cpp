#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <mpi.h>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

#include "launch.hpp"
#include "pieces.hpp"
#include "share/mpi_node.hpp"

namespace d2c::comm {
namespace {

/// Requests in flight.
class PendingRequests final : public PendingExchange {
 public:
  explicit PendingRequests(std::vector<MPI_Request> requests) : requests_(std::move(requests)) {}
  void wait() override {
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  }

 private:
  std::vector<MPI_Request> requests_;
};

/// Letters travel in a communicator of their own, where no other message can be taken for one.
class MpiMailbox final : public Mailbox {
 public:
  explicit MpiMailbox(MPI_Comm comm) { MPI_Comm_dup(comm, &comm_); }
  ~MpiMailbox() override {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }
  void post(int to, const Content& content) override {
    Sent& sent = sent_.emplace_back();
    sent.content = content;
    MPI_Isend(sent.content.data(), words, MPI_UINT64_T, to, 0, comm_, &sent.request);
  }  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): look() waits for it
  [[nodiscard]] std::optional<Letter> look() override {
    std::erase_if(sent_, [](Sent& sent) {
      int done = 0;
      MPI_Test(&sent.request, &done, MPI_STATUS_IGNORE);
      return done != 0;
    });
    int there = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, comm_, &there, &status);
    if (there == 0) return std::nullopt;
    Letter letter{status.MPI_SOURCE, {}};
    MPI_Recv(letter.content.data(), words, MPI_UINT64_T, letter.from, 0, comm_, MPI_STATUS_IGNORE);
    return letter;
  }
  void arrive() override { MPI_Ibarrier(comm_, &barrier_); }
  [[nodiscard]] bool all_arrived() override {
    int done = 0;
    MPI_Test(&barrier_, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }

 private:
  static constexpr int words = std::tuple_size_v<Content>;
  struct Sent {
    Content content{};
    MPI_Request request = MPI_REQUEST_NULL;
  };

  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Request barrier_ = MPI_REQUEST_NULL;
  std::list<Sent> sent_;  ///< not yet on their way
};

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
    if (size_ == 1) return;
    failed_ = MpiCommunicator::allocate_on_node(sizeof(std::int32_t), 0);
    if (failed_->is_writer()) flag() = 0;
    failed_->publish();
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  void barrier() override { MPI_Barrier(comm_); }
  void sum(std::span<double> values) override { reduce(values, MPI_DOUBLE, MPI_SUM); }
  void sum(std::span<std::int64_t> values) override { reduce(values, MPI_INT64_T, MPI_SUM); }
  void minimum(std::span<double> values) override { reduce(values, MPI_DOUBLE, MPI_MIN); }
  void maximum(std::span<double> values) override { reduce(values, MPI_DOUBLE, MPI_MAX); }

  [[nodiscard]] std::vector<std::byte> broadcast(std::vector<std::byte> bytes, int root) override {
    std::uint64_t size = bytes.size();
    MPI_Bcast(&size, 1, MPI_UINT64_T, root, comm_);
    bytes.resize(size);
    broadcast_into(bytes, root);
    return bytes;
  }

  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    std::vector<std::uint64_t> sizes(static_cast<std::size_t>(size_));
    const std::uint64_t own = bytes.size();
    MPI_Allgather(&own, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, comm_);

    std::uint64_t total = 0;
    for (const std::uint64_t size : sizes) total += size;
    std::vector<std::vector<std::byte>> result;
    result.reserve(sizes.size());
    if (total > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) {
      for (int root = 0; root < size_; ++root) {
        auto& part = result.emplace_back(sizes[static_cast<std::size_t>(root)]);
        if (root == rank_) std::copy(bytes.begin(), bytes.end(), part.begin());
        broadcast_into(part, root);
      }
      return result;
    }

    std::vector<int> counts(sizes.begin(), sizes.end());
    std::vector<int> offsets(counts.size(), 0);
    for (std::size_t i = 1; i < counts.size(); ++i) offsets[i] = offsets[i - 1] + counts[i - 1];
    std::vector<std::byte> all(total);
    MPI_Allgatherv(bytes.data(), static_cast<int>(own), MPI_BYTE, all.data(), counts.data(),
                   offsets.data(), MPI_BYTE, comm_);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto begin = all.begin() + offsets[i];
      result.emplace_back(begin, begin + counts[i]);
    }
    return result;
  }

  [[nodiscard]] std::unique_ptr<PendingExchange> start_exchange(
      std::span<const Parcel> outgoing, std::span<Parcel> incoming) override {
    std::vector<MPI_Request> requests;
    const Parcel* to_self = nullptr;
    Parcel* from_self = nullptr;
    for (Parcel& parcel : incoming) {
      if (parcel.rank == rank_) {
        from_self = &parcel;
        continue;
      }
      for_each_piece(parcel.bytes.size(), [&](std::size_t begin, int count) {
        MPI_Irecv(parcel.bytes.data() + begin, count, MPI_BYTE, parcel.rank, tag, comm_,
                  &requests.emplace_back());
      });
    }
    for (const Parcel& parcel : outgoing) {
      if (parcel.rank == rank_) {
        to_self = &parcel;
        continue;
      }
      for_each_piece(parcel.bytes.size(), [&](std::size_t begin, int count) {
        MPI_Isend(parcel.bytes.data() + begin, count, MPI_BYTE, parcel.rank, tag, comm_,
                  &requests.emplace_back());
      });
    }
    D2C_EXPECTS((to_self == nullptr) == (from_self == nullptr));
    if (to_self != nullptr && from_self != nullptr) from_self->bytes = to_self->bytes;
    return std::make_unique<PendingRequests>(std::move(requests));
  }

  [[nodiscard]] NodeMap nodes(int ranks_per_node) override {
    return node_comms(ranks_per_node)->map();
  }

  [[nodiscard]] std::unique_ptr<NodeMemory> allocate_on_node(std::size_t bytes,
                                                             int ranks_per_node) override {
    return allocate_shared_window(node_comms(ranks_per_node), bytes);
  }

  [[nodiscard]] std::unique_ptr<Mailbox> open_mailbox() override {
    return std::make_unique<MpiMailbox>(comm_);
  }

  [[nodiscard]] bool is_first_to_fail() override {
    return failed_ == nullptr || std::atomic_ref(flag()).exchange(1) == 0;
  }

  void abort(int exit_code) override {
    MPI_Abort(comm_, exit_code);
    std::_Exit(exit_code);
  }

 private:
  static constexpr int tag = 1;

  template <class T>
  void reduce(std::span<T> values, MPI_Datatype type, MPI_Op op) {
    for (std::size_t begin = 0; begin < values.size(); begin += piece / sizeof(T)) {
      const std::size_t count = std::min(piece / sizeof(T), values.size() - begin);
      MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, static_cast<int>(count), type, op, comm_);
    }
  }

  void broadcast_into(std::span<std::byte> bytes, int root) {
    for_each_piece(bytes.size(), [&](std::size_t begin, int count) {
      MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, comm_);
    });
  }

  /// Made once for each way to see nodes. Collective the first time.
  const std::shared_ptr<const NodeComms>& node_comms(int ranks_per_node) {
    auto& comms = node_comms_[ranks_per_node];
    if (comms == nullptr) comms = std::make_shared<NodeComms>(comm_, ranks_per_node);
    return comms;
  }

  /// Whether a rank of this node has failed.
  [[nodiscard]] std::int32_t& flag() {
    return *reinterpret_cast<std::int32_t*>(failed_->bytes().data());
  }

  MPI_Comm comm_;
  std::map<int, std::shared_ptr<const NodeComms>> node_comms_;
  int rank_ = 0;
  int size_ = 1;
  std::unique_ptr<NodeMemory> failed_;
};

}  // namespace

Environment::Environment(int& argc, char**& argv) {
  // Looked up before the start: a world of one rank makes up some of these variables.
  const std::optional<Misfit> misfit = find_misfit(std::getenv);
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  world_ = std::make_unique<MpiCommunicator>(MPI_COMM_WORLD);
  if (world_->size() == 1 && misfit) {
    MPI_Finalize();
    throw UsageError(
        {misfit->variable + " is " + misfit->value + " but the MPI world has one rank",
         "every process would do the whole job by itself",
         "start with `srun --mpi=pmix d2c ...`, or with the mpirun of the MPI that d2c was built "
         "with"});
  }
}

Environment::~Environment() {
  world_.reset();
  MPI_Finalize();
}

Communicator& Environment::world() { return *world_; }

}  // namespace d2c::comm
