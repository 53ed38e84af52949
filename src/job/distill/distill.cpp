#include "distill/distill.hpp"

#include <memory>
#include <string>

#include "distill/trainer.hpp"

namespace d2c::job {
namespace {

/// Trains clusters that a node may hold at the same time.
void train(const DistillParts& parts, std::span<const DistillCluster> clusters,
           const DistillOptions& options, Distilled& all) {
  const auto trainer = std::make_shared<Trainer>(parts, clusters, options);
  if (parts.states != nullptr) {
    const auto file = parts.states->file.string() + "." + std::to_string(parts.states->n_groups++);
    trainer->resume(file, parts.states->job);
    parts.states->with_checkpoints([file, kept = std::weak_ptr(trainer)] {
      if (const auto still = kept.lock()) still->save(file);
    });
  }
  if (trainer->n_left() > 0 && trainer->teach()) {
    while (trainer->n_left() > 0 && !parts.stop()) trainer->step();
  }
  // Whoever has one of the adapters has the training, which may still have to be saved.
  for (const auto& adapter : trainer->adapters()) all.adapters.emplace_back(trainer, adapter.get());
  all.loss.insert(all.loss.end(), trainer->curves().begin(), trainer->curves().end());
}

}  // namespace

Distilled distill(const DistillParts& parts, std::span<const DistillCluster> clusters,
                  const DistillOptions& options) {
  Distilled all;
  std::vector<MergeRequest> starts;
  for (const DistillCluster& cluster : clusters) starts.push_back(cluster.start);
  for (std::span<const MergeRequest> left = starts; !left.empty();) {
    const std::size_t n = parts.merger.n_that_fit(left);
    train(parts, clusters.last(left.size()).first(n), options, all);
    left = left.subspan(n);
  }
  return all;
}

}  // namespace d2c::job
