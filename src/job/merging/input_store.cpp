#include "merging/input_store.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

#include "input/seen_examples.hpp"

namespace d2c::job {
namespace {

lora::MomentForm form_of(const model::InputSite& site, Index n) {
  return site.one_hot ? lora::MomentForm::diagonal : lora::moment_form(n, site.d_in);
}

/// Site of each module that adapters may target.
IdVector<ModuleId, SiteId> sites_of_modules(const AdapterStore& adapters, const Sites& sites) {
  std::map<std::string, SiteId> site_of;
  for (const SiteId site : sites.ids())
    for (const std::string& module : sites[site].modules) site_of[module] = site;
  IdVector<ModuleId, SiteId> result;
  for (const lora::TargetModule& module : adapters.modules()) {
    result.push_back(site_of.at(module.name));
  }
  return result;
}

/// Sites whose modules the adapter changes.
std::set<SiteId> wanted_sites(const AdapterStore& adapters,
                              const IdVector<ModuleId, SiteId>& site_of_module, AdapterId adapter) {
  std::set<SiteId> wanted;
  for (const ModuleId module : site_of_module.ids()) {
    if (adapters.rank_of(adapter, module) > 0) wanted.insert(site_of_module[module]);
  }
  return wanted;
}

}  // namespace

InputStore::InputStore(const JobParts& parts, Sites sites, int verify)
    : parts_(parts),
      sites_(std::move(sites)),
      verify_(verify),
      site_of_module_(sites_of_modules(parts.adapters, sites_)) {}

void InputStore::collect() {
  if (std::exchange(is_collected_, true)) return;
  const auto timer = parts_.timers.scope("layer inputs");
  n_inputs_.resize(static_cast<std::size_t>(parts_.adapters.n_adapters()), 0);
  comm::agree(parts_.comm, [&] {
    for (const AdapterId adapter : parts_.adapters.ids()) {
      if (parts_.adapters.owner(adapter) == parts_.comm.rank()) collect_of(adapter);
    }
  });
  parts_.comm.sum(std::span(n_inputs_));
}

std::vector<eval::Batch> InputStore::batches_of(TaskId task) const {
  return parts_.tasks.pack(seen_examples(parts_.tasks, task, {.choose = 1, .verify = verify_}));
}

void InputStore::collect_of(AdapterId adapter) {
  std::vector<std::vector<eval::Batch>> tasks;
  std::int64_t& n = n_inputs_[adapter];
  for (const TaskId task : parts_.tasks.ids()) {
    if (parts_.adapter_of_task[task] != adapter) continue;
    tasks.push_back(batches_of(task));
    for (const eval::Batch& batch : tasks.back()) n += std::ssize(batch.forest.ids);
  }
  const std::set<SiteId> wanted = wanted_sites(parts_.adapters, site_of_module_, adapter);
  const eval::AdapterHandle handle = parts_.engine.prepare(parts_.adapters.local(adapter));
  std::map<SiteId, std::vector<lora::InputMoment>> moments;
  for (const std::vector<eval::Batch>& batches : tasks) {
    std::vector<std::unique_ptr<lora::InputMomentSum>> sums(sites_.size());
    for (const SiteId site : wanted) {
      sums[site.index()] =
          std::make_unique<lora::InputMomentSum>(form_of(sites_[site], n), sites_[site].d_in);
    }
    parts_.engine.add_inputs(handle, batches, sums);
    for (const SiteId site : wanted) moments[site].push_back(sums[site.index()]->finish());
  }
  for (const auto& [site, of_tasks] : moments) {
    own_.emplace(std::pair(adapter, site), lora::mean_of(of_tasks));
  }
}

std::uint64_t InputStore::bytes_of(AdapterId adapter, SiteId site) const {
  const Index n = n_inputs_[adapter];
  return lora::moment_size(form_of(sites_[site], n), n, sites_[site].d_in) * sizeof(float);
}

std::unique_ptr<PendingInputs> InputStore::start_shipping(
    std::span<const Shipment<SiteId>> shipments) const {
  WireForm<SiteId, lora::InputMoment> form;
  form.size = [this](AdapterId adapter, SiteId site) { return bytes_of(adapter, site); };
  form.append = [this](std::vector<std::byte>& bytes, AdapterId adapter, SiteId site) {
    append_wire(bytes, std::span(find(adapter, site, {}).values));
  };
  form.take = [this](std::span<const std::byte>& bytes, AdapterId adapter, SiteId site) {
    const Index n = n_inputs_[adapter];
    lora::InputMoment moment{form_of(sites_[site], n), sites_[site].d_in, {}};
    moment.values.resize(lora::moment_size(moment.form, n, moment.d_in));
    take_wire(bytes, std::span(moment.values));
    return moment;
  };
  return std::make_unique<PendingInputs>(parts_.comm, parts_.adapters.owners(), shipments,
                                         std::move(form));
}

const lora::InputMoment& InputStore::find(AdapterId adapter, SiteId site,
                                          const ReceivedInputs& received) const {
  const bool is_own = parts_.adapters.owner(adapter) == parts_.comm.rank();
  const auto& moments = is_own ? own_ : received;
  const auto place = moments.find({adapter, site});
  D2C_EXPECTS(place != moments.end());
  return place->second;
}

std::uint64_t input_bytes(const AdapterStore& adapters, const TaskStore& tasks, const Sites& sites,
                          AdapterId adapter, const IdVector<TaskId, AdapterId>& adapter_of_task) {
  Index n = 0;
  for (const TaskId task : tasks.ids()) {
    if (adapter_of_task[task] != adapter) continue;
    n += tasks.facts(task, Split::few_shot).n_computed;
  }
  std::uint64_t bytes = 0;
  for (const SiteId site : wanted_sites(adapters, sites_of_modules(adapters, sites), adapter)) {
    bytes += lora::moment_size(form_of(sites[site], n), n, sites[site].d_in) * sizeof(float);
  }
  return bytes;
}

}  // namespace d2c::job
