#include <cstdlib>
#include <new>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

namespace d2c::comm {
namespace {

class OwnMemory final : public NodeMemory {
 public:
  explicit OwnMemory(std::size_t bytes)
      : size_(bytes),
        data_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64}))) {}
  ~OwnMemory() override { ::operator delete (data_, std::align_val_t{64}); }
  [[nodiscard]] std::span<std::byte> bytes() override { return {data_, size_}; }
  [[nodiscard]] bool is_writer() const override { return true; }
  void publish() override {}

 private:
  std::size_t size_;
  std::byte* data_;
};

class NullCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  void barrier() override {}
  void sum(std::span<double>) override {}
  void sum(std::span<std::int64_t>) override {}
  void minimum(std::span<double>) override {}
  void maximum(std::span<double>) override {}

  [[nodiscard]] std::vector<std::byte> broadcast(std::vector<std::byte> bytes, int root) override {
    D2C_EXPECTS(root == 0);
    return bytes;
  }

  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    return {{bytes.begin(), bytes.end()}};
  }

  void exchange(std::span<const Parcel> outgoing, std::span<Parcel> incoming) override {
    D2C_EXPECTS(outgoing.size() == incoming.size() && outgoing.size() <= 1);
    for (std::size_t i = 0; i < outgoing.size(); ++i) {
      D2C_EXPECTS(outgoing[i].rank == 0 && incoming[i].rank == 0);
      D2C_EXPECTS(outgoing[i].bytes.size() == incoming[i].bytes.size());
      incoming[i].bytes = outgoing[i].bytes;
    }
  }

  [[nodiscard]] std::unique_ptr<NodeMemory> allocate_on_node(std::size_t bytes, int) override {
    return std::make_unique<OwnMemory>(bytes);
  }

  void abort(int exit_code) override { std::_Exit(exit_code); }
};

}  // namespace

std::unique_ptr<Communicator> make_null_communicator() {
  return std::make_unique<NullCommunicator>();
}

}  // namespace d2c::comm
