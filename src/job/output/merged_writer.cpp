#include "output/merged_writer.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "d2c/core/sha256.hpp"
#include "d2c/core/version.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/lora/model_card.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

std::string model_card(const Job& job, const results::RunResults& results, ClusterId cluster,
                       const MergeRequest& request) {
  const std::string scale =
      request.scale == 1.0 ? "" : fmt::format(", times {:.4g}", request.scale);
  const std::string training =
      request.trained == nullptr
          ? ""
          : fmt::format(
                " The merge was then trained for {} steps to predict on the tasks' few-shot "
                "examples what their own adapters predict there (distillation).",
                results.distill.n_steps);
  const std::string& base_model = job.adapters->base_model();
  std::string card = lora::card_front_matter(base_model);
  card += fmt::format(
      "# Merged adapter of cluster {}\n\nMade by d2c {} (method `{}`{}) from {} adapter{}.{}",
      cluster, version(), results.recipe.method[cluster.index()], scale, request.adapters.size(),
      request.adapters.size() == 1 ? "" : "s", training);
  if (!base_model.empty()) card += " Base model: " + lora::card_code(base_model) + ".";
  card +=
      "\n\n| task | adapter | weight | modules | loss here | own adapter | base model "
      "|\n|---|---|---|---|---|---|---|\n";
  const auto n_clusters = static_cast<std::size_t>(results.n_clusters);
  for (const TaskId id : job.tasks->ids()) {
    const std::size_t task = id.index();
    if (results.result.assignment[task] != cluster.value()) continue;
    const AdapterId adapter = job.adapter_of_task[id];
    // A medoid stands for tasks whose own adapters have no part in it.
    const auto place = std::ranges::find(request.adapters, adapter);
    const double weight =
        place == request.adapters.end()
            ? 0.0
            : request.weights[static_cast<std::size_t>(place - request.adapters.begin())];
    card += fmt::format("| {} | {} | {:.4g} | {} of {} | {:.4f} | {:.4f} | {:.4f} |\n",
                        lora::card_cell(results.tasks.name[task]),
                        lora::card_cell(fs::path(results.tasks.adapter[task]).filename().string()),
                        weight, job.adapters->n_applied(adapter), job.adapters->modules().size(),
                        results.result.loss[task * n_clusters + cluster.index()],
                        results.baselines.at("own")[task], results.baselines.at("base")[task]);
  }
  card +=
      "\nModules: how many of the base model's the adapter changes; it counts as zero in the "
      "others.\nLosses: mean negative log likelihood of the response tokens of the few-shot "
      "examples, nats per token.\n";
  return card;
}

constexpr std::array peft_files = {"adapter_config.json", "adapter_model.safetensors"};

/// @param sums  of the files, one after the other; empty = no files were written
WrittenAdapter describe(ClusterId cluster, const lora::FactorMap& merged, const std::string& sums) {
  WrittenAdapter adapter{
      .cluster = cluster, .folder = {}, .rank = lora::largest_rank(merged), .sha256 = {}};
  if (sums.empty()) return adapter;
  adapter.folder = "merged/" + cluster_folder(cluster);
  const std::size_t digits = sums.size() / peft_files.size();
  for (std::size_t i = 0; i < peft_files.size(); ++i) {
    adapter.sha256[peft_files[i]] = sums.substr(i * digits, digits);
  }
  return adapter;
}

results::MatrixView view(const Matrix& matrix) {
  return {matrix.rows(), matrix.cols(), matrix.values()};
}

}  // namespace

std::string cluster_folder(ClusterId cluster) { return fmt::format("cluster_{:02}", cluster); }

std::vector<WrittenAdapter> write_merged(Session& session, DistributedOracle& oracle,
                                         const std::vector<MergeConfig>& configs,
                                         const results::RunResults& results, ResultFiles& files) {
  const MergedOutput wanted = session.options().merged_output;
  const std::vector<MergeRequest> requests = oracle.requests_for(configs);
  std::vector<WrittenAdapter> written;
  for (std::size_t r = 0; r < configs.size(); ++r) {
    session.check();
    const ClusterId cluster(results.result.assignment[configs[r].members.front().index()]);
    const lora::FactorMap merged = oracle.merged(requests[r]);
    const auto timer = session.timers().scope("write");
    const int writer = cluster.value() % session.comm().size();
    std::string sums;
    comm::agree(session.comm(), [&] {
      if (wanted != MergedOutput::hdf5 && writer == session.comm().rank()) {
        const Job& job = session.input();
        lora::WriteOptions write;
        write.dtype = oracle.plan().stored_dtype;
        write.base_model = job.adapters->base_model();
        write.card = model_card(job, results, cluster, requests[r]) + lora::card_rank(merged);
        write.short_names = lora::short_names(merged, job.adapters->modules());
        const fs::path folder = files.merged() / cluster_folder(cluster);
        lora::write_adapter(folder, merged, write);
        for (const char* file : peft_files) sums += sha256_of(folder / file);
      }
      if (wanted == MergedOutput::peft || files.writer() == nullptr) return;
      for (const auto& [module, factors] : merged) {
        files.writer()->add_merged(cluster.value(), module, view(factors.a), view(factors.b));
      }
    });
    written.push_back(
        describe(cluster, merged, comm::broadcast_text(session.comm(), sums, writer)));
  }
  return written;
}

}  // namespace d2c::job
