#include "merging/merger.hpp"

#include <map>
#include <utility>

namespace d2c::job {

Merger::Merger(const JobParts& parts, InputStore* inputs, MergePlan plan, std::uint64_t node_bytes,
               int ranks_per_node)
    : parts_(parts),
      inputs_(inputs),
      plan_(plan),
      node_bytes_(node_bytes),
      arena_(parts.comm, parts.adapters, ranks_per_node) {}

MergeRequest Merger::members_of(const cluster::TaskSet& set) const {
  std::map<AdapterId, double> tasks_of_adapter;
  for (const TaskId task : set) tasks_of_adapter[parts_.adapter_of_task[task]] += 1.0;
  MergeRequest request;
  request.scale = plan_.scale;
  for (const auto& [adapter, n] : tasks_of_adapter) {
    request.adapters.push_back(adapter);
    request.weights.push_back(n / static_cast<double>(set.size()));
  }
  return request;
}

void Merger::merge(std::span<const MergeRequest> requests) {
  if (requests.empty()) return;
  const bool merges = std::ranges::any_of(
      requests, [](const MergeRequest& request) { return request.trained == nullptr; });
  InputStore* inputs = merges && plan_.method->uses_inputs ? inputs_ : nullptr;
  if (inputs != nullptr) inputs->collect();
  merge_distributed(parts_.comm, parts_.adapters, inputs, plan_, requests, arena_, parts_.timers);
}

void Merger::merge_in_turn(std::span<const MergeRequest> requests,
                           const std::function<void(std::size_t, std::size_t)>& use) {
  for (std::size_t begin = 0; begin < requests.size();) {
    const std::size_t end = begin + n_that_fit(requests.subspan(begin));
    merge(requests.subspan(begin, end - begin));
    use(begin, end);
    begin = end;
  }
}

std::size_t Merger::n_that_fit(std::span<const MergeRequest> requests) const {
  std::uint64_t bytes = 0;
  std::size_t n = 0;
  for (; n < requests.size(); ++n) {
    bytes += merged_bytes(parts_.adapters, plan_, requests[n]);
    if (n > 0 && bytes > node_bytes_) break;
  }
  return n;
}

}  // namespace d2c::job
