#include "engine/rank_device.hpp"

#include <map>
#include <sstream>
#include <utility>

namespace d2c::job {

eval::EngineChoice engine_choice(const RunOptions& options) {
  return {.device = options.device,
          .threads = options.threads,
          .compute = options.compute,
          .gpu = 0,
          .ranks_per_gpu = options.ranks_per_gpu};
}

std::vector<int> assigned_gpus(const std::vector<int>& nodes,
                               const std::vector<std::vector<std::string>>& gpus,
                               int ranks_per_gpu) {
  std::map<int, std::size_t> ranks_on;
  std::map<std::pair<int, std::string>, int> ranks_with;
  std::vector<int> result;
  for (std::size_t rank = 0; rank < nodes.size(); ++rank) {
    if (gpus[rank].empty()) return {};
    const std::size_t gpu = ranks_on[nodes[rank]]++ % gpus[rank].size();
    if (++ranks_with[{nodes[rank], gpus[rank][gpu]}] > ranks_per_gpu) return {};
    result.push_back(static_cast<int>(gpu));
  }
  return result;
}

eval::EngineChoice choose_engine(comm::Communicator& comm, const RunOptions& options) {
  eval::EngineChoice choice = engine_choice(options);
  if (choice.device == eval::Device::cpu) return choice;
  std::string seen;
  comm::agree(comm, [&] {
    if (choice.device == eval::Device::cuda) eval::check_gpu();
    for (const std::string& gpu : eval::usable_gpus()) seen += gpu + "\n";
  });
  std::vector<std::vector<std::string>> gpus;
  for (const auto& of_rank : comm::all_gather_values<char>(comm, seen)) {
    std::istringstream lines(std::string(of_rank.begin(), of_rank.end()));
    auto& list = gpus.emplace_back();
    for (std::string line; std::getline(lines, line);) list.push_back(line);
  }
  const auto assigned = assigned_gpus(comm.nodes(0).of_rank, gpus, choice.ranks_per_gpu);
  if (!assigned.empty()) {
    choice.device = eval::Device::cuda;
    choice.gpu = assigned[static_cast<std::size_t>(comm.rank())];
    return choice;
  }
  comm::agree(comm, [&] {
    if (choice.device == eval::Device::automatic) return;
    throw UsageError({"--device cuda: a node has more ranks than GPUs",
                      "each rank computes on one, and keeps a copy of the model there",
                      "start fewer ranks per node, or let them share with --ranks-per-gpu"});
  });
  choice.device = eval::Device::cpu;
  return choice;
}

std::unique_ptr<eval::LossEngine> made_engine(comm::Communicator& comm, const RunContext& context,
                                              const model::Model& model,
                                              const eval::EngineChoice& choice) {
  std::unique_ptr<eval::LossEngine> engine;
  comm::agree(comm, [&] { engine = context.make_engine(model, choice); });
  return engine;
}

}  // namespace d2c::job
