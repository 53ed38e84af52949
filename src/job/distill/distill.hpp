#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"

#include "lessons/material.hpp"
#include "merging/job_parts.hpp"
#include "merging/merger.hpp"

namespace d2c::job {

/// A cluster whose merged adapter is to be trained.
struct DistillCluster {
  MergeRequest start;
  cluster::TaskSet tasks;       ///< ascending
  std::vector<double> weights;  ///< of the tasks in the loss
};

struct DistillOptions {
  double rate = 0.0;           ///< learning rate in the first step; 0 = by the size of the factors
  MaterialOptions material{};  ///< with the number of steps
  cluster::ExampleFolds folds{};  ///< learnt from are those of a search
};

struct Distilled {
  std::vector<std::shared_ptr<const TrainedAdapter>> adapters;  ///< by cluster
  /// [cluster][step] loss before the step, on the portion that it learns: weighted mean over the
  /// tasks of the cross-entropy against their own adapters' predictions, nats per token
  std::vector<std::vector<double>> loss;
};

/// Where trainings are kept that a stopped job goes on from.
struct TrainingStates {
  std::filesystem::path file;  ///< the n-th group of clusters that a job trains is in FILE.n
  std::uint64_t job = 0;       ///< digest of what decides its numbers, the same on every rank
  /// Has a function called with every checkpoint, on all ranks. It may throw comm::AgreedError.
  std::function<void(std::function<void()>)> with_checkpoints;
  int n_groups = 0;  ///< that were trained so far
};

struct DistillParts : JobParts {
  Merger& merger;
  /// Asked before each step, and before each task whose adapter is asked; true = no more. May end
  /// the job. The same on every rank.
  const std::function<bool()>& stop;
  TrainingStates* states = nullptr;  ///< null = nothing is kept
};

/// Trains the factors of merged adapters, each to predict on its tasks' few-shot examples what the
/// tasks' own adapters predict there: Adam with cosine decay. Collective.
///
/// Each module of each adapter is trained on one rank. In a step the adapters are laid into the
/// memory of every node, the gradient of a task is computed on one rank, and its parts go to the
/// ranks that train them, which add the tasks' gradients in ascending order in float64: bits depend
/// neither on ranks nor on threads. As many clusters as a node may hold are trained side by side.
[[nodiscard]] Distilled distill(const DistillParts& parts, std::span<const DistillCluster> clusters,
                                const DistillOptions& options);

}  // namespace d2c::job
