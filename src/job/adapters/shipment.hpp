#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"

namespace d2c::job {

/// A part of an adapter, such as the factors of a module, to be sent to one rank.
template <class Part>
struct Shipment {
  AdapterId adapter;
  Part part;
  int to = 0;  ///< rank
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison with 0 for one
  [[nodiscard]] auto operator<=>(const Shipment&) const = default;
};

/// What came from other ranks.
template <class Part, class Value>
using Received = std::map<std::pair<AdapterId, Part>, Value>;

/// How parts of adapters become bytes and come back; both ends know the sizes.
template <class Part, class Value>
struct WireForm {
  std::function<std::size_t(AdapterId, Part)> size;
  std::function<void(std::vector<std::byte>&, AdapterId, Part)> append;
  std::function<Value(std::span<const std::byte>&, AdapterId, Part)> take;
};

/// Parts on their way, one parcel between two ranks. Keeps what is sent and received in place until
/// it has arrived; another shipment may be started before that.
template <class Part, class Value>
class PendingShipment {
 public:
  /// @param owners     of the adapters: who sends
  /// @param shipments  the same on every rank, or at least all from or to this rank
  PendingShipment(comm::Communicator& comm, const IdVector<AdapterId, int>& owners,
                  std::span<const Shipment<Part>> shipments, WireForm<Part, Value> form)
      : form_(std::move(form)) {
    std::map<int, std::vector<std::byte>> outgoing;
    std::map<int, std::size_t> incoming;
    for (const Shipment<Part>& shipment : shipments) {
      const int from = owners[shipment.adapter];
      if (from == shipment.to) continue;
      if (from == comm.rank()) {
        form_.append(outgoing[shipment.to], shipment.adapter, shipment.part);
      } else if (shipment.to == comm.rank()) {
        incoming[from] += form_.size(shipment.adapter, shipment.part);
        expected_[from].push_back(shipment);
      }
    }
    for (auto& [rank, bytes] : outgoing) outgoing_.push_back({rank, std::move(bytes)});
    for (const auto& [rank, size] : incoming)
      incoming_.push_back({rank, std::vector<std::byte>(size)});
    exchange_ = comm.start_exchange(outgoing_, incoming_);
  }

  /// What has arrived at this rank. Call once.
  [[nodiscard]] Received<Part, Value> wait() {
    exchange_->wait();
    outgoing_.clear();
    Received<Part, Value> received;
    for (comm::Parcel& parcel : incoming_) {
      std::span<const std::byte> bytes = parcel.bytes;
      for (const auto& [adapter, part, to] : expected_[parcel.rank]) {
        received.emplace(std::pair(adapter, part), form_.take(bytes, adapter, part));
      }
      parcel = {};
    }
    return received;
  }

 private:
  WireForm<Part, Value> form_;
  std::vector<comm::Parcel> outgoing_;
  std::vector<comm::Parcel> incoming_;
  std::map<int, std::vector<Shipment<Part>>> expected_;
  std::unique_ptr<comm::PendingExchange> exchange_;
};

}  // namespace d2c::job
