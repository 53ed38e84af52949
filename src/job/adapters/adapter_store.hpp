#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/recent_cache.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/lora/adapter.hpp"

#include "adapters/adapter_source.hpp"
#include "adapters/shipment.hpp"

namespace d2c::job {

using ReceivedFactors = Received<ModuleId, lora::Factors>;
using PendingFactors = PendingShipment<ModuleId, lora::Factors>;

/// How a rank keeps its adapters.
struct KeepOptions {
  AdaptersIn in = AdaptersIn::memory;                    ///< memory or disk
  std::uint64_t cache_bytes = std::uint64_t{256} << 20;  ///< of factors read again from the disk
};

/// The adapters of a job, each owned by exactly one rank, which alone opens its files and keeps its
/// factors in the type they are stored in, or reads them from the disk whenever they are wanted.
/// Every rank knows the rank (size of the low-rank space) of every module of every adapter, two
/// bytes each; the factors themselves never gather anywhere.
class AdapterStore {
 public:
  /// Reads and checks this rank's adapters, one at a time. Collective.
  /// @param owners   owning rank of each adapter, the same on every rank
  /// @param modules  modules of the base model that adapters may target
  /// @param model    folder of the base model, see lora::read_adapter
  /// @throws InputError (the same on every rank) if an adapter cannot be read
  AdapterStore(comm::Communicator& comm, std::unique_ptr<AdapterSource> source,
               std::span<const int> owners, std::span<const lora::TargetModule> modules,
               const std::filesystem::path& model, const KeepOptions& keep = {});
  ~AdapterStore();

  [[nodiscard]] int n_adapters() const { return owners_.n(); }
  [[nodiscard]] IdRange<AdapterId> ids() const { return owners_.ids(); }
  [[nodiscard]] const IdVector<ModuleId, lora::TargetModule>& modules() const { return modules_; }
  [[nodiscard]] const std::string& name(AdapterId adapter) const { return names_[adapter]; }
  [[nodiscard]] int owner(AdapterId adapter) const { return owners_[adapter]; }
  [[nodiscard]] const IdVector<AdapterId, int>& owners() const { return owners_; }
  /// Of the adapter's content: the same wherever its folder lies.
  [[nodiscard]] std::uint64_t fingerprint(AdapterId adapter) const {
    return static_cast<std::uint64_t>(fingerprints_[adapter]);
  }
  /// Rank r of the factors; 0 = the adapter lacks the module.
  [[nodiscard]] int rank_of(AdapterId adapter, ModuleId module) const {
    return ranks_(adapter, module);
  }
  /// Modules that the adapter changes.
  [[nodiscard]] int n_applied(AdapterId adapter) const;
  /// Adapters all of whose updates are zero.
  [[nodiscard]] const std::vector<AdapterId>& idle() const { return idle_; }
  /// Stored type of the adapter that was read with the most precise one.
  [[nodiscard]] DType common_dtype() const { return common_dtype_; }
  /// base_model_name_or_path of the first adapter; may be empty.
  [[nodiscard]] const std::string& base_model() const { return base_model_; }
  /// Bytes of factors that this rank keeps in memory, at most.
  [[nodiscard]] std::uint64_t local_bytes() const;
  /// Bytes of the factors of one module of one adapter on their way to another rank.
  [[nodiscard]] std::uint64_t bytes_of(AdapterId adapter, ModuleId module) const;

  /// The adapter in float32. @pre this rank owns it @throws InputError if it is read from the disk
  /// and has changed there
  [[nodiscard]] lora::FactorMap local(AdapterId adapter) const;

  /// Sends factors to where they are wanted. Every rank passes the same list, in which an (adapter,
  /// module, rank) stands at most once; shipments from a rank to itself cost nothing and are not
  /// in the result. Collective; the caller bounds the bytes of one call, and waits for shipments in
  /// the order in which they were started. @pre the adapters have the modules
  /// @throws as local()
  [[nodiscard]] std::unique_ptr<PendingFactors> start_shipping(
      std::span<const Shipment<ModuleId>> shipments) const;

  /// Bytes of all factors of an adapter.
  [[nodiscard]] std::uint64_t bytes_of(AdapterId adapter) const;

  /// Factors from this rank's own adapters or else from `received`; null if the adapter lacks the
  /// module. @pre the factors are in one of them
  /// @throws as local()
  [[nodiscard]] std::shared_ptr<const lora::Factors> find(AdapterId adapter, ModuleId module,
                                                          const ReceivedFactors& received) const;

 private:
  struct Local;

  [[nodiscard]] const Local& local_of(AdapterId adapter) const;
  void load(AdapterId adapter, const std::filesystem::path& model);
  [[nodiscard]] std::shared_ptr<const lora::Factors> own_factors(AdapterId adapter,
                                                                 ModuleId module) const;
  void exchange_shapes();

  comm::Communicator& comm_;
  IdVector<AdapterId, std::string> names_;
  IdVector<AdapterId, int> owners_;
  IdVector<ModuleId, lora::TargetModule> modules_;
  std::unique_ptr<AdapterSource> source_;
  KeepOptions keep_;
  mutable RecentCache<std::pair<AdapterId, ModuleId>, lora::Factors> cache_;
  std::map<AdapterId, Local> local_;
  IdMatrix<AdapterId, ModuleId, std::uint16_t> ranks_;
  IdVector<AdapterId, std::int64_t> fingerprints_;  ///< as comm::Communicator::sum takes them
  std::vector<AdapterId> idle_;
  DType common_dtype_ = DType::bf16;
  std::string base_model_;
};

}  // namespace d2c::job
