#include <algorithm>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <string>

#include <mpi.h>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

namespace d2c::comm {
namespace {

// MPI counts are int; larger messages travel in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 30;

/// A window of MPI shared memory; all of it belongs to the writer's segment, so that it is placed
/// in the memory next to that rank.
class SharedWindow final : public NodeMemory {
 public:
  SharedWindow(MPI_Comm node, std::size_t bytes) : node_(node), size_(bytes) {
    int rank = 0;
    MPI_Comm_rank(node_, &rank);
    is_writer_ = rank == 0;
    void* own = nullptr;
    const auto own_bytes = static_cast<MPI_Aint>(is_writer_ ? bytes + kAlignment : 0);
    MPI_Win_allocate_shared(own_bytes, 1, MPI_INFO_NULL, node_, &own, &window_);
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
    MPI_Comm_free(&node_);
  }

  [[nodiscard]] std::span<std::byte> bytes() override {
    // Pages are mapped at different addresses in each process, but at the same offset in a page.
    void* aligned = base_;
    std::size_t room = size_ + kAlignment;
    return {static_cast<std::byte*>(std::align(kAlignment, size_, aligned, room)), size_};
  }
  [[nodiscard]] bool is_writer() const override { return is_writer_; }
  void publish() override {
    MPI_Win_sync(window_);
    MPI_Barrier(node_);
    MPI_Win_sync(window_);
  }

 private:
  static constexpr std::size_t kAlignment = 64;

  MPI_Comm node_;
  MPI_Win window_ = MPI_WIN_NULL;
  void* base_ = nullptr;
  std::size_t size_;
  bool is_writer_ = false;
};

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
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

  void exchange(std::span<const Parcel> outgoing, std::span<Parcel> incoming) override {
    std::vector<MPI_Request> requests;
    const Parcel* to_self = nullptr;
    Parcel* from_self = nullptr;
    for (Parcel& parcel : incoming) {
      if (parcel.rank == rank_) {
        from_self = &parcel;
        continue;
      }
      for_each_piece(parcel.bytes.size(), [&](std::size_t begin, int count) {
        MPI_Irecv(parcel.bytes.data() + begin, count, MPI_BYTE, parcel.rank, kTag, comm_,
                  &requests.emplace_back());
      });
    }
    for (const Parcel& parcel : outgoing) {
      if (parcel.rank == rank_) {
        to_self = &parcel;
        continue;
      }
      for_each_piece(parcel.bytes.size(), [&](std::size_t begin, int count) {
        MPI_Isend(parcel.bytes.data() + begin, count, MPI_BYTE, parcel.rank, kTag, comm_,
                  &requests.emplace_back());
      });
    }
    D2C_EXPECTS((to_self == nullptr) == (from_self == nullptr));
    if (to_self != nullptr && from_self != nullptr) from_self->bytes = to_self->bytes;
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  }

  [[nodiscard]] std::unique_ptr<NodeMemory> allocate_on_node(std::size_t bytes,
                                                             int ranks_per_node) override {
    MPI_Comm node = MPI_COMM_NULL;
    MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node);
    if (ranks_per_node > 0) {
      int rank_on_node = 0;
      MPI_Comm_rank(node, &rank_on_node);
      MPI_Comm part = MPI_COMM_NULL;
      MPI_Comm_split(node, rank_on_node / ranks_per_node, rank_, &part);
      MPI_Comm_free(&node);
      node = part;
    }
    return std::make_unique<SharedWindow>(node, bytes);
  }

  void abort(int exit_code) override {
    MPI_Abort(comm_, exit_code);
    std::_Exit(exit_code);
  }

 private:
  static constexpr int kTag = 1;

  template <class T>
  void reduce(std::span<T> values, MPI_Datatype type, MPI_Op op) {
    for (std::size_t begin = 0; begin < values.size(); begin += kPiece / sizeof(T)) {
      const std::size_t count = std::min(kPiece / sizeof(T), values.size() - begin);
      MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, static_cast<int>(count), type, op, comm_);
    }
  }

  template <class Visit>
  static void for_each_piece(std::size_t size, Visit visit) {
    for (std::size_t begin = 0; begin < size; begin += kPiece) {
      visit(begin, static_cast<int>(std::min(kPiece, size - begin)));
    }
  }

  void broadcast_into(std::span<std::byte> bytes, int root) {
    for_each_piece(bytes.size(), [&](std::size_t begin, int count) {
      MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, comm_);
    });
  }

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
};

int environment_number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atoi(text);
}

}  // namespace

Environment::Environment(int& argc, char**& argv) {
  // mpirun sets this before the program starts; with it a world of one rank was asked for.
  const bool started_by_mpirun = std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr;
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  world_ = std::make_unique<MpiCommunicator>(MPI_COMM_WORLD);
  const int tasks = environment_number("SLURM_NTASKS");
  if (world_->size() == 1 && tasks > 1 && !started_by_mpirun) {
    MPI_Finalize();
    throw UsageError(
        {"SLURM_NTASKS is " + std::to_string(tasks) + " but the MPI world has one rank",
         "every task would do the whole job by itself",
         "start with `srun --mpi=pmix d2c ...` or `mpirun d2c ...`"});
  }
}

Environment::~Environment() {
  world_.reset();
  MPI_Finalize();
}

Communicator& Environment::world() { return *world_; }

}  // namespace d2c::comm
