#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "d2c/lora/input_moment.hpp"
#include "d2c/model/input_sites.hpp"

#include "merging/job_parts.hpp"

namespace d2c::job {

/// Of a model::InputSite.
using SiteId = Id<struct SiteTag>;
using Sites = IdVector<SiteId, model::InputSite>;
using ReceivedInputs = Received<SiteId, lora::InputMoment>;
using PendingInputs = PendingShipment<SiteId, lora::InputMoment>;

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
  InputStore(const JobParts& parts, Sites sites, int verify);

  /// One forward pass for each task, when it is called first. Collective.
  /// @throws InputError, the same on every rank
  void collect();

  [[nodiscard]] SiteId site_of(ModuleId module) const { return site_of_module_[module]; }
  // After collect():

  /// Bytes of a moment on its way to another rank.
  [[nodiscard]] std::uint64_t bytes_of(AdapterId adapter, SiteId site) const;
  /// As AdapterStore::start_shipping, with sites in place of modules.
  [[nodiscard]] std::unique_ptr<PendingInputs> start_shipping(
      std::span<const Shipment<SiteId>> shipments) const;
  /// From this rank's own adapters or else from `received`. @pre it is in one of them
  [[nodiscard]] const lora::InputMoment& find(AdapterId adapter, SiteId site,
                                              const ReceivedInputs& received) const;

 private:
  void collect_of(AdapterId adapter);
  [[nodiscard]] std::vector<eval::Batch> batches_of(TaskId task) const;

  JobParts parts_;
  Sites sites_;
  int verify_;
  IdVector<ModuleId, SiteId> site_of_module_;
  bool is_collected_ = false;
  IdVector<AdapterId, std::int64_t> n_inputs_;  ///< of all tasks
  ReceivedInputs own_;
};

/// Bytes of the moments that InputStore keeps for an adapter with these tasks, at most.
[[nodiscard]] std::uint64_t input_bytes(const AdapterStore& adapters, const TaskStore& tasks,
                                        const Sites& sites, AdapterId adapter,
                                        const IdVector<TaskId, AdapterId>& adapter_of_task);

}  // namespace d2c::job
