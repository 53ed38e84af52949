#include "merging/input_store.hpp"

#include <algorithm>
#include <string>

#include "d2c/cluster/folds.hpp"
#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

#include "input/wire.hpp"

namespace d2c::job {
namespace {

lora::MomentForm form_of(const model::InputSite& site, Index n) {
  return site.one_hot ? lora::MomentForm::diagonal : lora::moment_form(n, site.d_in);
}

/// Site of each module that adapters may target.
std::vector<int> sites_of_modules(const AdapterStore& adapters,
                                  std::span<const model::InputSite> sites) {
  std::map<std::string, int> site_of;
  for (std::size_t s = 0; s < sites.size(); ++s)
    for (const std::string& module : sites[s].modules) site_of[module] = static_cast<int>(s);
  std::vector<int> result;
  for (const lora::TargetModule& module : adapters.modules()) {
    result.push_back(site_of.at(module.name));
  }
  return result;
}

/// Sites whose modules the adapter changes.
std::vector<bool> wanted_sites(const AdapterStore& adapters, std::span<const int> site_of_module,
                               std::size_t n_sites, int adapter) {
  std::vector<bool> wanted(n_sites, false);
  for (std::size_t module = 0; module < site_of_module.size(); ++module) {
    if (adapters.rank_of(adapter, static_cast<int>(module)) > 0) {
      wanted[static_cast<std::size_t>(site_of_module[module])] = true;
    }
  }
  return wanted;
}

}  // namespace

InputStore::InputStore(const JobParts& parts, std::vector<model::InputSite> sites, int verify)
    : parts_(parts),
      sites_(std::move(sites)),
      verify_(verify),
      site_of_module_(sites_of_modules(parts.adapters, sites_)) {}

void InputStore::collect() {
  if (std::exchange(is_collected_, true)) return;
  const auto timer = parts_.timers.scope("layer inputs");
  n_inputs_.assign(static_cast<std::size_t>(parts_.adapters.n_adapters()), 0);
  comm::agree(parts_.comm, [&] {
    for (int adapter = 0; adapter < parts_.adapters.n_adapters(); ++adapter) {
      if (parts_.adapters.owner(adapter) == parts_.comm.rank()) collect_of(adapter);
    }
  });
  parts_.comm.sum(std::span(n_inputs_));
}

std::vector<eval::Batch> InputStore::batches_of(TaskId task) const {
  std::vector<eval::Example> examples = parts_.tasks.examples(task, Split::few_shot);
  const std::vector<FoldId> folds = cluster::ExampleFolds{1, verify_}.of(std::ssize(examples));
  std::vector<eval::Example> chosen;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    if (folds[e].value() == 0) chosen.push_back(std::move(examples[e]));
  }
  return eval::pack(chosen, parts_.tasks.packing().loss_on, parts_.tasks.packing().max_tokens);
}

void InputStore::collect_of(int adapter) {
  std::vector<std::vector<eval::Batch>> tasks;
  std::int64_t& n = n_inputs_[static_cast<std::size_t>(adapter)];
  for (const TaskId task : parts_.tasks.ids()) {
    if (parts_.adapter_of_task[task] != adapter) continue;
    tasks.push_back(batches_of(task));
    for (const eval::Batch& batch : tasks.back()) n += std::ssize(batch.forest.ids);
  }
  const std::vector<bool> wanted =
      wanted_sites(parts_.adapters, site_of_module_, sites_.size(), adapter);
  const eval::AdapterHandle handle = parts_.engine.prepare(parts_.adapters.local(adapter));
  std::vector<std::vector<lora::InputMoment>> moments(sites_.size());
  for (const std::vector<eval::Batch>& batches : tasks) {
    std::vector<std::unique_ptr<lora::InputMomentSum>> sums(sites_.size());
    for (std::size_t s = 0; s < sites_.size(); ++s) {
      if (!wanted[s]) continue;
      sums[s] = std::make_unique<lora::InputMomentSum>(form_of(sites_[s], n), sites_[s].d_in);
    }
    parts_.engine.add_inputs(handle, batches, sums);
    for (std::size_t s = 0; s < sites_.size(); ++s) {
      if (wanted[s]) moments[s].push_back(sums[s]->finish());
    }
  }
  for (std::size_t s = 0; s < sites_.size(); ++s) {
    if (moments[s].empty()) continue;
    own_.emplace(std::pair(adapter, static_cast<int>(s)), lora::mean_of(moments[s]));
  }
}

std::uint64_t InputStore::bytes_of(int adapter, int site) const {
  const model::InputSite& of = sites_[static_cast<std::size_t>(site)];
  const Index n = n_inputs_[static_cast<std::size_t>(adapter)];
  return lora::moment_size(form_of(of, n), n, of.d_in) * sizeof(float);
}

/// Keeps what is sent and received in place until it has arrived.
class InputStore::Shipping final : public PendingInputs {
 public:
  Shipping(const InputStore& store, std::span<const Shipment> shipments) : store_(store) {
    std::map<int, comm::Parcel> outgoing;
    std::map<int, std::size_t> incoming_bytes;
    const int this_rank = store.parts_.comm.rank();
    for (const Shipment& shipment : shipments) {
      const int from = store.parts_.adapters.owner(shipment.adapter);
      if (from == shipment.to) continue;
      if (from == this_rank) {
        comm::Parcel& parcel = outgoing[shipment.to];
        parcel.rank = shipment.to;
        append_wire(parcel.bytes,
                    std::span(store.find(shipment.adapter, shipment.module, {}).values));
      } else if (shipment.to == this_rank) {
        incoming_bytes[from] += store.bytes_of(shipment.adapter, shipment.module);
        expected_[from].push_back(shipment);
      }
    }
    for (auto& [rank, parcel] : outgoing) outgoing_.push_back(std::move(parcel));
    for (const auto& [rank, bytes] : incoming_bytes) {
      incoming_.push_back({rank, std::vector<std::byte>(bytes)});
    }
    exchange_ = store.parts_.comm.start_exchange(outgoing_, incoming_);
  }

  [[nodiscard]] ReceivedInputs wait() override {
    exchange_->wait();
    outgoing_.clear();
    ReceivedInputs received;
    for (comm::Parcel& parcel : incoming_) {
      std::span<const std::byte> bytes = parcel.bytes;
      for (const Shipment& shipment : expected_[parcel.rank]) {
        const model::InputSite& site = store_.sites_[static_cast<std::size_t>(shipment.module)];
        const Index n = store_.n_inputs_[static_cast<std::size_t>(shipment.adapter)];
        lora::InputMoment moment{form_of(site, n), site.d_in, {}};
        moment.values.resize(lora::moment_size(moment.form, n, site.d_in));
        take_wire(bytes, std::span(moment.values));
        received.emplace(std::pair(shipment.adapter, shipment.module), std::move(moment));
      }
      parcel = {};
    }
    return received;
  }

 private:
  const InputStore& store_;
  std::vector<comm::Parcel> outgoing_;
  std::vector<comm::Parcel> incoming_;
  std::map<int, std::vector<Shipment>> expected_;
  std::unique_ptr<comm::PendingExchange> exchange_;
};

std::unique_ptr<PendingInputs> InputStore::start_shipping(
    std::span<const Shipment> shipments) const {
  return std::make_unique<Shipping>(*this, shipments);
}

const lora::InputMoment& InputStore::find(int adapter, int site,
                                          const ReceivedInputs& received) const {
  const bool is_own = parts_.adapters.owner(adapter) == parts_.comm.rank();
  const auto& moments = is_own ? own_ : received;
  const auto place = moments.find({adapter, site});
  D2C_EXPECTS(place != moments.end());
  return place->second;
}

std::uint64_t input_bytes(const AdapterStore& adapters, const TaskStore& tasks,
                          std::span<const model::InputSite> sites, int adapter,
                          const IdVector<TaskId, int>& adapter_of_task) {
  Index n = 0;
  for (const TaskId task : tasks.ids()) {
    if (adapter_of_task[task] != adapter) continue;
    n += tasks.facts(task, Split::few_shot).n_computed;
  }
  const std::vector<bool> wanted =
      wanted_sites(adapters, sites_of_modules(adapters, sites), sites.size(), adapter);
  std::uint64_t bytes = 0;
  for (std::size_t s = 0; s < sites.size(); ++s) {
    if (!wanted[s]) continue;
    bytes += lora::moment_size(form_of(sites[s], n), n, sites[s].d_in) * sizeof(float);
  }
  return bytes;
}

}  // namespace d2c::job
