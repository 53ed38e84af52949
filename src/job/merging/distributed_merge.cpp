#include "merging/distributed_merge.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"
#include "d2c/merge/module_merge.hpp"

namespace d2c::job {
namespace {

/// One module of one request.
struct Unit {
  std::size_t request = 0;
  ModuleId module;
  int rank = 0;  ///< that computes it
  bool uses_inputs = false;
  merge::UnitShape shape;
};

/// Bytes of factors that the merge of a unit holds at a time; 0 if it takes them one by one.
double held_bytes(const MergePlan& plan, const Unit& unit) {
  if (!merge::holds_all_members(*plan.method, plan.options)) return 0.0;
  return static_cast<double>(unit.shape.total_rank) *
         static_cast<double>(unit.shape.d_in + unit.shape.d_out) * sizeof(float);
}

/// The same on every rank. Collective if it throws. @throws comm::AgreedError
void check_members_fit(comm::Communicator& comm, const AdapterStore& store, const MergePlan& plan,
                       std::span<const Unit> units) {
  constexpr double mib = 1 << 20;
  for (const Unit& unit : units) {
    const double bytes = held_bytes(plan, unit);
    if (bytes <= plan.members_bytes) continue;
    const InputError error(
        {{}, store.modules()[unit.module].name},
        {fmt::format("the factors of {} adapters are {:.4g} MiB, more than {:.4g}",
                     unit.shape.members, bytes / mib, plan.members_bytes / mib),
         fmt::format("the method '{}' needs all members of a module at a time on one rank",
                     plan.method->name),
         "choose average or one of the methods that work on A and B apart, or raise "
         "--members-mib"});
    comm::agree(comm, [&] { throw error; });
  }
}

/// The units of all requests, spread over the ranks by cost. Those of trained adapters have no
/// members and lie where they were trained.
std::vector<Unit> plan_units(const AdapterStore& store, const MergePlan& plan,
                             std::span<const MergeRequest> requests, int n_ranks) {
  std::vector<Unit> units;
  std::vector<double> costs;
  for (std::size_t q = 0; q < requests.size(); ++q) {
    if (requests[q].trained != nullptr) continue;
    for (const ModuleId module : store.modules().ids()) {
      const auto& target = store.modules()[module];
      merge::UnitShape shape{target.d_out, target.d_in, 0, 0, 0};
      for (const AdapterId adapter : requests[q].adapters) {
        const Index rank = store.rank_of(adapter, module);
        if (rank == 0) continue;
        ++shape.members;
        shape.total_rank += rank;
        shape.largest_rank = std::max(shape.largest_rank, rank);
      }
      if (shape.members == 0) continue;
      const merge::Method& method = *plan.method;
      units.push_back({q, module, 0, method.uses_inputs, shape});
      costs.push_back(method.cost(shape));
    }
  }
  const auto owners = comm::balance(costs, n_ranks);
  for (std::size_t u = 0; u < units.size(); ++u) units[u].rank = owners[u];
  for (std::size_t q = 0; q < requests.size(); ++q) {
    if (requests[q].trained == nullptr) continue;
    for (const auto& [module, by, rank] : requests[q].trained->parts) {
      const auto& target = store.modules()[module];
      units.push_back({q, module, by, false, {target.d_out, target.d_in, 0, rank, rank}});
    }
  }
  return units;
}

/// Largest rank that a merged module can have.
Index largest_merged_rank(const MergePlan& plan, const merge::UnitShape& shape) {
  return plan.method->adds_ranks ? shape.total_rank
                                 : std::max(shape.largest_rank, plan.options.merged_rank);
}

/// A member on its way into the merge of a unit.
struct Step {
  std::size_t unit = 0;
  std::size_t member = 0;  ///< index into the request
};

/// Walks through the members of each rank's units, round by round: in a round no rank takes more
/// than `cap` bytes of factors and moments of inputs, but at least one member. All ranks see the
/// same rounds.
class Rounds {
 public:
  Rounds(const AdapterStore& store, const InputStore* inputs,
         std::span<const MergeRequest> requests, std::span<const Unit> units, int n_ranks,
         std::uint64_t cap)
      : store_(store),
        inputs_(inputs),
        requests_(requests),
        units_(units),
        cap_(cap),
        cursors_(static_cast<std::size_t>(n_ranks)) {
    for (std::size_t u = 0; u < units.size(); ++u) {
      if (units[u].shape.members == 0) continue;
      cursors_[static_cast<std::size_t>(units[u].rank)].units.push_back(u);
    }
  }

  struct Round {
    std::vector<Step> mine;                   ///< of this rank
    std::vector<Shipment<ModuleId>> factors;  ///< to or from this rank, sorted
    std::vector<Shipment<SiteId>> inputs;     ///< the same
  };
  /// The next round; nothing after the last.
  std::optional<Round> next(int this_rank) {
    Round round;
    bool any = false;
    for (std::size_t rank = 0; rank < cursors_.size(); ++rank) {
      any = advance(static_cast<int>(rank), this_rank, round) || any;
    }
    if (!any) return std::nullopt;
    // Requests of one call may share adapters, and modules a site.
    sort_once(round.factors);
    sort_once(round.inputs);
    return round;
  }

 private:
  template <class List>
  static void sort_once(List& list) {
    std::ranges::sort(list);
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }

  struct Cursor {
    std::vector<std::size_t> units;
    std::size_t unit = 0;    ///< index into `units`
    std::size_t member = 0;  ///< index into the unit's request
  };

  /// Moves the cursor of one rank over a round. @return whether it moved
  bool advance(int rank, int this_rank, Round& round) {
    Cursor& cursor = cursors_[static_cast<std::size_t>(rank)];
    std::uint64_t bytes = 0;
    bool moved = false;
    for (; cursor.unit < cursor.units.size(); ++cursor.unit, cursor.member = 0) {
      const std::size_t u = cursor.units[cursor.unit];
      const auto& adapters = requests_[units_[u].request].adapters;
      for (; cursor.member < adapters.size(); ++cursor.member) {
        const AdapterId adapter = adapters[cursor.member];
        if (store_.rank_of(adapter, units_[u].module) == 0) continue;
        const SiteId site =
            units_[u].uses_inputs ? inputs_->site_of(units_[u].module) : SiteId::none();
        const std::uint64_t more = store_.bytes_of(adapter, units_[u].module) +
                                   (site == SiteId::none() ? 0 : inputs_->bytes_of(adapter, site));
        if (moved && bytes + more > cap_) return true;
        bytes += more;
        moved = true;
        if (rank == this_rank) round.mine.push_back({u, cursor.member});
        if (rank == this_rank || store_.owner(adapter) == this_rank) {
          round.factors.push_back({adapter, units_[u].module, rank});
          if (site != SiteId::none()) round.inputs.push_back({adapter, site, rank});
        }
      }
    }
    return moved;
  }

  const AdapterStore& store_;
  const InputStore* inputs_;
  std::span<const MergeRequest> requests_;
  std::span<const Unit> units_;
  std::uint64_t cap_;
  std::vector<Cursor> cursors_;
};

/// What has arrived of a round.
struct Arrived {
  ReceivedFactors factors;
  ReceivedInputs inputs;
};

/// A round on its way.
class Shipments {
 public:
  Shipments(const AdapterStore& store, const InputStore* inputs, const Rounds::Round& round)
      : factors_(store.start_shipping(round.factors)),
        inputs_(inputs == nullptr ? nullptr : inputs->start_shipping(round.inputs)) {}
  [[nodiscard]] Arrived wait() {
    Arrived received{factors_->wait(), {}};
    if (inputs_ != nullptr) received.inputs = inputs_->wait();
    return received;
  }

 private:
  std::unique_ptr<PendingFactors> factors_;
  std::unique_ptr<PendingInputs> inputs_;
};

/// This rank's units, one after another.
class OwnMerges {
 public:
  OwnMerges(const AdapterStore& store, const InputStore* inputs, const MergePlan& plan,
            std::span<const MergeRequest> requests, std::span<const Unit> units,
            MergedArena& merged)
      : store_(store),
        inputs_(inputs),
        plan_(plan),
        requests_(requests),
        units_(units),
        merged_(merged) {}

  void take(const Step& step, const Arrived& received) {
    const Unit& unit = units_[step.unit];
    const auto& request = requests_[unit.request];
    if (taken_ == 0) {
      current_ = merge::start_merge(*plan_.method, store_.modules()[unit.module].name, unit.shape,
                                    plan_.options);
    }
    const AdapterId adapter = request.adapters[step.member];
    const auto factors_of_member = store_.find(adapter, unit.module, received.factors);
    merge::Member member{factors_of_member.get(), request.weights[step.member],
                         store_.fingerprint(adapter), store_.name(adapter)};
    if (unit.uses_inputs) {
      member.inputs = &inputs_->find(adapter, inputs_->site_of(unit.module), received.inputs);
    }
    current_->add(member);
    if (++taken_ < unit.shape.members) return;
    lora::Factors factors = current_->finish();
    current_.reset();
    taken_ = 0;
    if (request.scale != 1.0) {
      for (float& value : factors.b.values()) {
        value = static_cast<float>(request.scale * static_cast<double>(value));
      }
    }
    round_to(plan_.stored_dtype, factors.a.values());
    round_to(plan_.stored_dtype, factors.b.values());
    merged_.write(step.unit, factors);
  }

 private:
  const AdapterStore& store_;
  const InputStore* inputs_;
  const MergePlan& plan_;
  std::span<const MergeRequest> requests_;
  std::span<const Unit> units_;
  MergedArena& merged_;
  std::unique_ptr<merge::ModuleMerge> current_;
  Index taken_ = 0;
};

}  // namespace

void round_to(DType type, std::span<float> values) {
  if (type == DType::f32 || type == DType::f64) return;
  std::vector<std::byte> bytes(values.size() * size_of(type));
  convert_from_float(values, type, bytes);
  convert_to_float(bytes, type, values);
}

std::uint64_t merged_bytes(const AdapterStore& store, const MergePlan& plan,
                           const MergeRequest& request) {
  std::uint64_t bytes = 0;
  for (const Unit& unit : plan_units(store, plan, std::span(&request, 1), 1)) {
    bytes +=
        MergedArena::bytes_of(store.modules()[unit.module], largest_merged_rank(plan, unit.shape));
  }
  return bytes;
}

bool members_fit(const AdapterStore& store, const MergePlan& plan, const MergeRequest& request) {
  const std::vector<Unit> units = plan_units(store, plan, std::span(&request, 1), 1);
  return std::ranges::all_of(
      units, [&](const Unit& unit) { return held_bytes(plan, unit) <= plan.members_bytes; });
}

void merge_distributed(comm::Communicator& comm, const AdapterStore& store,
                       const InputStore* inputs, const MergePlan& plan,
                       std::span<const MergeRequest> requests, MergedArena& merged,
                       PhaseTimers& timers) {
  const std::vector<Unit> units = plan_units(store, plan, requests, comm.size());
  check_members_fit(comm, store, plan, units);
  std::vector<MergedArena::Part> parts;
  parts.reserve(units.size());
  for (const Unit& unit : units) {
    parts.push_back({unit.request, unit.module, unit.rank, largest_merged_rank(plan, unit.shape)});
  }
  {
    const auto timer = timers.scope("exchange");
    merged.reset(std::move(parts));
  }

  // A round travels while the one before is merged; both share the memory.
  Rounds rounds(store, inputs, requests, units, comm.size(), plan.exchange_bytes / 2);
  OwnMerges own(store, inputs, plan, requests, units, merged);
  std::optional<Rounds::Round> coming;
  std::optional<Shipments> shipment;
  const auto start_next = [&] {
    const auto timer = timers.scope("exchange");
    coming = rounds.next(comm.rank());
    if (coming.has_value()) shipment.emplace(store, inputs, *coming);
  };
  start_next();
  // A rank whose merge fails goes on sending, so that the others reach the end, where all agree.
  std::exception_ptr failure;
  while (coming.has_value()) {
    const Rounds::Round round = *std::exchange(coming, std::nullopt);
    const Arrived received = [&] {
      const auto timer = timers.scope("exchange");
      return shipment->wait();
    }();
    start_next();
    if (failure != nullptr) continue;
    const auto timer = timers.scope("merge");
    try {
      for (const Step& step : round.mine) own.take(step, received);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  for (std::size_t u = 0; u < units.size(); ++u) {
    const auto& trained = requests[units[u].request].trained;
    if (trained == nullptr || units[u].rank != comm.rank()) continue;
    merged.write(u, trained->own.at(units[u].module));
  }
  const auto timer = timers.scope("exchange");
  comm::agree(comm, [&] {
    if (failure != nullptr) std::rethrow_exception(failure);
  });
  merged.share();
}

}  // namespace d2c::job
