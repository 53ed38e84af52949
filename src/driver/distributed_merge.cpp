#include "d2c/driver/distributed_merge.hpp"

#include <algorithm>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

#include "wire.hpp"

namespace d2c::driver {
namespace {

/// One module of one request.
struct Unit {
  int request = 0;
  int module = 0;
  int rank = 0;             ///< that computes it
  std::uint64_t bytes = 0;  ///< of the members' factors
};

/// Shape of a merged module on the wire.
struct MergedHeader {
  std::int64_t unit = 0;
  std::int64_t rank = 0;
  double scaling = 1.0;
};

std::vector<Unit> plan_units(const AdapterStore& store, const merge::Method& method,
                             std::span<const MergeRequest> requests, int n_ranks) {
  std::vector<Unit> units;
  std::vector<double> costs;
  for (std::size_t q = 0; q < requests.size(); ++q) {
    for (int module = 0; module < static_cast<int>(store.modules().size()); ++module) {
      const auto& target = store.modules()[static_cast<std::size_t>(module)];
      merge::UnitShape shape{target.d_out, target.d_in, 0, 0, 0};
      std::uint64_t bytes = 0;
      for (const int adapter : requests[q].adapters) {
        const Index rank = store.rank_of(adapter, module);
        if (rank == 0) continue;
        ++shape.members;
        shape.total_rank += rank;
        shape.largest_rank = std::max(shape.largest_rank, rank);
        bytes += store.bytes_of(adapter, module);
      }
      if (shape.members == 0) continue;
      units.push_back({static_cast<int>(q), module, 0, bytes});
      costs.push_back(method.cost(shape));
    }
  }
  const auto owners = comm::balance(costs, n_ranks);
  for (std::size_t u = 0; u < units.size(); ++u) units[u].rank = owners[u];
  return units;
}

/// End of the longest run of units from `begin` in which no rank receives more than `cap` bytes.
std::size_t end_of_round(std::span<const Unit> units, std::size_t begin, int n_ranks,
                         std::uint64_t cap) {
  std::vector<std::uint64_t> received(static_cast<std::size_t>(n_ranks), 0);
  std::size_t end = begin;
  for (; end < units.size(); ++end) {
    auto& bytes = received[static_cast<std::size_t>(units[end].rank)];
    if (bytes > 0 && bytes + units[end].bytes > cap) break;
    bytes += units[end].bytes;
  }
  return end;
}

void round_to(DType type, std::span<float> values) {
  if (type == DType::f32 || type == DType::f64) return;
  std::vector<std::byte> bytes(values.size() * size_of(type));
  convert_from_float(values, type, bytes);
  convert_to_float(bytes, type, values);
}

lora::Factors merge_unit(const AdapterStore& store, const MergePlan& plan,
                         const MergeRequest& request, const Unit& unit,
                         const ReceivedFactors& received) {
  std::vector<merge::Member> members;
  for (std::size_t i = 0; i < request.adapters.size(); ++i) {
    const int adapter = request.adapters[i];
    members.push_back({store.find(adapter, unit.module, received), request.weights[i],
                       store.fingerprint(adapter), store.name(adapter)});
  }
  lora::Factors merged = plan.method->function(
      store.modules()[static_cast<std::size_t>(unit.module)].name, members, plan.options);
  round_to(plan.stored_dtype, merged.a.values());
  round_to(plan.stored_dtype, merged.b.values());
  return merged;
}

/// Unpacks what one rank merged into the adapters.
void collect(std::span<const std::byte> bytes, std::span<const Unit> units,
             const AdapterStore& store, std::vector<lora::FactorMap>& merged) {
  while (!bytes.empty()) {
    MergedHeader header;
    take_wire(bytes, std::span(&header, 1));
    const Unit& unit = units[static_cast<std::size_t>(header.unit)];
    const auto& shape = store.modules()[static_cast<std::size_t>(unit.module)];
    lora::Factors factors{Matrix(header.rank, shape.d_in), Matrix(shape.d_out, header.rank),
                          header.scaling};
    take_wire(bytes, factors.a.values());
    take_wire(bytes, factors.b.values());
    merged[static_cast<std::size_t>(unit.request)].emplace(shape.name, std::move(factors));
  }
}

}  // namespace

std::uint64_t merged_bytes(const AdapterStore& store, const MergePlan& plan,
                           const MergeRequest& request) {
  std::uint64_t bytes = 0;
  for (int module = 0; module < static_cast<int>(store.modules().size()); ++module) {
    Index sum = 0;
    Index largest = 0;
    for (const int adapter : request.adapters) {
      sum += store.rank_of(adapter, module);
      largest = std::max<Index>(largest, store.rank_of(adapter, module));
    }
    const auto& shape = store.modules()[static_cast<std::size_t>(module)];
    const Index rank =
        plan.method->name == "cat" ? sum : std::max(largest, plan.options.merged_rank);
    bytes += static_cast<std::uint64_t>(rank * (shape.d_in + shape.d_out)) * sizeof(float);
  }
  return bytes;
}

std::vector<lora::FactorMap> merge_distributed(comm::Communicator& comm, const AdapterStore& store,
                                               const MergePlan& plan,
                                               std::span<const MergeRequest> requests) {
  const std::vector<Unit> units = plan_units(store, *plan.method, requests, comm.size());
  std::vector<std::byte> own;
  for (std::size_t begin = 0; begin < units.size();) {
    const std::size_t end = end_of_round(units, begin, comm.size(), plan.exchange_bytes);
    std::vector<Shipment> shipments;
    for (std::size_t u = begin; u < end; ++u) {
      for (const int adapter : requests[static_cast<std::size_t>(units[u].request)].adapters) {
        shipments.push_back({adapter, units[u].module, units[u].rank});
      }
    }
    // Requests of one call may share adapters.
    std::sort(shipments.begin(), shipments.end());
    shipments.erase(std::unique(shipments.begin(), shipments.end()), shipments.end());
    const ReceivedFactors received = store.ship(shipments);
    comm::agree(comm, [&] {
      for (std::size_t u = begin; u < end; ++u) {
        if (units[u].rank != comm.rank()) continue;
        const auto& request = requests[static_cast<std::size_t>(units[u].request)];
        const lora::Factors factors = merge_unit(store, plan, request, units[u], received);
        const MergedHeader header{static_cast<std::int64_t>(u), factors.rank(), factors.scaling};
        append_wire(own, std::span(&header, 1));
        append_wire(own, factors.a.values());
        append_wire(own, factors.b.values());
      }
    });
    begin = end;
  }

  std::vector<lora::FactorMap> merged(requests.size());
  for (const auto& part : comm.all_gather(own)) collect(part, units, store, merged);
  return merged;
}

}  // namespace d2c::driver
