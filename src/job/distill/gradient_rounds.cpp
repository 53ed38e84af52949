#include "distill/gradient_rounds.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

namespace d2c::job {

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

GradientExchange::GradientExchange(comm::Communicator& comm,
                                   std::span<const TrainedAdapter* const> adapters,
                                   const IdVector<ModuleId, lora::TargetModule>& modules,
                                   std::span<const LearningTask> round)
    : comm_(comm), adapters_(adapters), modules_(modules), round_(round), offsets_(round.size()) {
  std::map<int, std::size_t> to;
  std::map<int, std::size_t> from;
  for (std::size_t i = 0; i < round.size(); ++i) {
    for (const auto& part : adapters_[static_cast<std::size_t>(round[i].cluster)]->parts) {
      if (round[i].rank == comm.rank()) {
        std::size_t& end = to[part.by];
        offsets_[i].push_back(end);
        end += bytes_of(part);
      }
      if (part.by == comm.rank()) from[round[i].rank] += bytes_of(part);
    }
  }
  place_of_rank_.resize(static_cast<std::size_t>(comm.size()));
  for (const auto& [rank, size] : to) {
    place_of_rank_[static_cast<std::size_t>(rank)] = outgoing_.size();
    outgoing_.push_back({rank, std::vector<std::byte>(size)});
  }
  for (const auto& [rank, size] : from) incoming_.push_back({rank, std::vector<std::byte>(size)});
}

std::size_t GradientExchange::bytes_of(const TrainedAdapter::Part& part) const {
  const lora::TargetModule& module = modules_[part.module];
  return static_cast<std::size_t>(part.rank * (module.d_in + module.d_out)) * sizeof(float);
}

void GradientExchange::put(std::size_t index, const lora::FactorMap& gradient) {
  const auto& parts = adapters_[static_cast<std::size_t>(round_[index].cluster)]->parts;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const lora::Factors& d = gradient.at(modules_[parts[p].module].name);
    const auto a = std::as_bytes(d.a.values());
    const auto b = std::as_bytes(d.b.values());
    D2C_EXPECTS(a.size() + b.size() == bytes_of(parts[p]));
    auto& bytes = outgoing_[place_of_rank_[static_cast<std::size_t>(parts[p].by)]].bytes;
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(offsets_[index][p]);
    std::ranges::copy(b, std::ranges::copy(a, place).out);
  }
}

void GradientExchange::deliver(
    const std::function<void(const LearningTask&, ModuleId, std::span<const float>)>& add) {
  comm_.exchange(outgoing_, incoming_);
  std::map<int, std::span<const std::byte>> rest;
  for (const comm::Parcel& parcel : incoming_) rest[parcel.rank] = parcel.bytes;
  std::vector<float> values;
  for (const LearningTask& task : round_) {
    for (const auto& part : adapters_[static_cast<std::size_t>(task.cluster)]->parts) {
      if (part.by != comm_.rank()) continue;
      std::span<const std::byte>& bytes = rest.at(task.rank);
      values.resize(bytes_of(part) / sizeof(float));
      std::memcpy(values.data(), bytes.data(), bytes_of(part));
      bytes = bytes.subspan(bytes_of(part));
      add(task, part.module, values);
    }
  }
}

}  // namespace d2c::job
