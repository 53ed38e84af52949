#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace d2c::comm {

/// Bytes on their way to or from one rank.
struct Parcel {
  int rank = 0;
  std::vector<std::byte> bytes;
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
  [[nodiscard]] virtual std::vector<std::byte> broadcast(std::vector<std::byte> bytes, int root) = 0;
  /// The bytes of every rank, by rank, on every rank.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) = 0;
  /// Sends each parcel to its rank; returns what was sent to this rank, ascending by sender. At
  /// most one parcel per pair of ranks.
  [[nodiscard]] virtual std::vector<Parcel> exchange(std::vector<Parcel> outgoing) = 0;

  /// Ends every rank at once with this exit code; does not return under MPI.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

[[nodiscard]] std::unique_ptr<Communicator> make_null_communicator();

/// Runs `work` on this rank and agrees with all others on the outcome: if it threw on any rank,
/// every rank throws the error of the lowest such rank. For phases that read users' files, so that
/// bad input gives one message and the same exit code everywhere. Collective.
void agree(Communicator& comm, const std::function<void()>& work);

/// MPI for the life of this object (initialised with MPI_THREAD_FUNNELED).
class Environment {
 public:
  Environment(int& argc, char**& argv);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  [[nodiscard]] Communicator& world();

 private:
  std::unique_ptr<Communicator> world_;
};

}  // namespace d2c::comm
