#include "distill/gradient_rounds.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

namespace d2c::job {
namespace {

std::size_t bytes_of(const IdVector<ModuleId, lora::TargetModule>& modules,
                     const TrainedAdapter::Part& part) {
  const lora::TargetModule& module = modules[part.module];
  return static_cast<std::size_t>(part.rank * (module.d_in + module.d_out)) * sizeof(float);
}

/// Of a gradient, on the rank that gets most of it.
std::uint64_t largest_share(const TrainedAdapter& adapter,
                            const IdVector<ModuleId, lora::TargetModule>& modules) {
  std::map<int, std::uint64_t> of_rank;
  std::uint64_t largest = 0;
  for (const TrainedAdapter::Part& part : adapter.parts) {
    largest = std::max(largest, of_rank[part.by] += bytes_of(modules, part));
  }
  return largest;
}

}  // namespace

LearningPlan plan_learning(std::vector<LearningTask> tasks, std::span<const double> costs,
                           std::span<const std::uint64_t> bytes, int n_ranks,
                           std::uint64_t rank_cap) {
  LearningPlan plan{std::move(tasks), {0}};
  const std::uint64_t cap = rank_cap * static_cast<std::uint64_t>(n_ranks);
  for (std::size_t begin = 0; begin < plan.tasks.size(); begin = plan.rounds.back()) {
    std::uint64_t total = 0;
    std::size_t end = begin;
    while (end < plan.tasks.size()) {
      total += bytes[end];
      if (total > cap && std::cmp_greater_equal(end - begin, n_ranks)) break;
      ++end;
    }
    const auto ranks = comm::balance(costs.subspan(begin, end - begin), n_ranks);
    for (std::size_t i = begin; i < end; ++i) plan.tasks[i].rank = ranks[i - begin];
    plan.rounds.push_back(end);
  }
  return plan;
}

std::vector<std::size_t> cut_round(std::span<const TrainedAdapter* const> adapters,
                                   const IdVector<ModuleId, lora::TargetModule>& modules,
                                   std::span<const LearningTask> round, std::uint64_t rank_cap) {
  std::vector<std::uint64_t> shares;
  for (const TrainedAdapter* adapter : adapters) shares.push_back(largest_share(*adapter, modules));
  std::vector<std::size_t> begin{0};
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < round.size(); ++i) {
    const std::uint64_t share = shares[static_cast<std::size_t>(round[i].cluster)];
    if (i > begin.back() && sum + share > rank_cap) {
      begin.push_back(i);
      sum = 0;
    }
    sum += share;
  }
  if (!round.empty()) begin.push_back(round.size());
  return begin;
}

GradientExchange::GradientExchange(comm::Communicator& comm,
                                   std::span<const TrainedAdapter* const> adapters,
                                   const IdVector<ModuleId, lora::TargetModule>& modules,
                                   std::span<const LearningTask> slice)
    : comm_(comm), adapters_(adapters), modules_(modules), slice_(slice), offsets_(slice.size()) {
  std::map<int, std::size_t> to;
  for (std::size_t i = 0; i < slice.size(); ++i) {
    for (const auto& part : adapters_[static_cast<std::size_t>(slice[i].cluster)]->parts) {
      if (slice[i].rank == comm.rank()) {
        std::size_t& end = to[part.by];
        offsets_[i].push_back(end);
        end += bytes_of(modules_, part);
      }
      if (part.by == comm.rank()) incoming_[slice[i].rank] += bytes_of(modules_, part);
    }
  }
  place_of_rank_.resize(static_cast<std::size_t>(comm.size()));
  for (const auto& [rank, size] : to) {
    place_of_rank_[static_cast<std::size_t>(rank)] = outgoing_.size();
    outgoing_.push_back({rank, std::vector<std::byte>(size)});
  }
}

void GradientExchange::put(std::size_t index, const lora::FactorMap& gradient) {
  const auto& parts = adapters_[static_cast<std::size_t>(slice_[index].cluster)]->parts;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const lora::Factors& d = gradient.at(modules_[parts[p].module].name);
    const auto a = std::as_bytes(d.a.values());
    const auto b = std::as_bytes(d.b.values());
    D2C_EXPECTS(a.size() + b.size() == bytes_of(modules_, parts[p]));
    auto& bytes = outgoing_[place_of_rank_[static_cast<std::size_t>(parts[p].by)]].bytes;
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(offsets_[index][p]);
    std::ranges::copy(b, std::ranges::copy(a, place).out);
  }
}

void GradientExchange::deliver(
    const std::function<void(const LearningTask&, ModuleId, std::span<const float>)>& add) {
  std::vector<comm::Parcel> incoming;
  for (const auto& [rank, size] : incoming_) {
    incoming.push_back({rank, std::vector<std::byte>(size)});
  }
  comm_.exchange(outgoing_, incoming);
  outgoing_.clear();
  std::map<int, std::span<const std::byte>> rest;
  for (const comm::Parcel& parcel : incoming) rest[parcel.rank] = parcel.bytes;
  std::vector<float> values;
  for (const LearningTask& task : slice_) {
    for (const auto& part : adapters_[static_cast<std::size_t>(task.cluster)]->parts) {
      if (part.by != comm_.rank()) continue;
      std::span<const std::byte>& bytes = rest.at(task.rank);
      values.resize(bytes_of(modules_, part) / sizeof(float));
      std::memcpy(values.data(), bytes.data(), bytes_of(modules_, part));
      bytes = bytes.subspan(bytes_of(modules_, part));
      add(task, part.module, values);
    }
  }
}

}  // namespace d2c::job
