#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "d2c/lora/input_moment.hpp"
#include "d2c/model/input_pass.hpp"

#include "merging/job_parts.hpp"

namespace d2c::job {

/// Moments received from other ranks, by (adapter, site).
using ReceivedInputs = std::map<std::pair<int, int>, lora::InputMoment>;

/// Moments on their way, as PendingShipment.
class PendingInputs {
 public:
  virtual ~PendingInputs() = default;
  [[nodiscard]] virtual ReceivedInputs wait() = 0;
};

/// What the modules of the model read in the few-shot examples of each adapter's tasks, under that
/// adapter: a moment for each site (model::InputSite), the mean over the tasks. Examples that are
/// kept from the search are left out.
///
/// The rank that owns an adapter collects and keeps its moments. They travel only to ranks that
/// merge the adapter, as its factors do.
class InputStore {
 public:
  /// @param sites   of the model
  /// @param verify  examples of each task that are kept from the search
  InputStore(const JobParts& parts, std::vector<model::InputSite> sites, int verify);

  /// One forward pass for each task, when it is called first. Collective.
  /// @throws InputError, the same on every rank
  void collect();

  [[nodiscard]] int site_of(int module) const {
    return site_of_module_[static_cast<std::size_t>(module)];
  }
  // After collect():

  /// Bytes of a moment on its way to another rank.
  [[nodiscard]] std::uint64_t bytes_of(int adapter, int site) const;
  /// As AdapterStore::start_shipping, with sites in place of modules.
  [[nodiscard]] std::unique_ptr<PendingInputs> start_shipping(
      std::span<const Shipment> shipments) const;
  /// From this rank's own adapters or else from `received`. @pre it is in one of them
  [[nodiscard]] const lora::InputMoment& find(int adapter, int site,
                                              const ReceivedInputs& received) const;

 private:
  class Shipping;

  void collect_of(int adapter);
  [[nodiscard]] std::vector<eval::Batch> batches_of(TaskId task) const;

  JobParts parts_;
  std::vector<model::InputSite> sites_;
  int verify_;
  std::vector<int> site_of_module_;
  bool is_collected_ = false;
  std::vector<std::int64_t> n_inputs_;                    ///< [adapters] of all tasks
  std::map<std::pair<int, int>, lora::InputMoment> own_;  ///< by (adapter, site)
};

/// Bytes of the moments that InputStore keeps for an adapter with these tasks, at most.
[[nodiscard]] std::uint64_t input_bytes(const AdapterStore& adapters, const TaskStore& tasks,
                                        std::span<const model::InputSite> sites, int adapter,
                                        const IdVector<TaskId, int>& adapter_of_task);

}  // namespace d2c::job
