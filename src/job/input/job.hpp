#pragma once

#include <memory>
#include <string>

#include "d2c/cluster/constraints.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/checkpoint.hpp"
#include "d2c/results/run_results.hpp"

#include "adapters/adapter_store.hpp"
#include "input/task_store.hpp"

namespace d2c::job {

/// The input of a job, loaded and spread over the ranks.
struct Job {
  eval::Manifest manifest;
  results::SkippedTable skipped;  ///< tasks that the manifest had besides
  cluster::Constraints constraints;
  std::unique_ptr<eval::ModelFolder> model;
  results::Identity model_content;  ///< digests of its files; on rank 0
  IdVector<TaskId, AdapterId> adapter_of_task;
  std::unique_ptr<TaskStore> tasks;
  std::unique_ptr<AdapterStore> adapters;
  std::string adapters_note;  ///< where they are kept, for people
};

/// Collective. @throws InputError or UsageError, the same on every rank
/// @param manifest  on rank 0: text of the manifest, if it is not yet where the options say; else
///                  empty
/// @param skipped   tasks that an earlier job has left out of it, the same on every rank
[[nodiscard]] Job load_job(comm::Communicator& comm, const RunOptions& options, PhaseTimers& timers,
                           const std::string& manifest = {},
                           const results::SkippedTable& skipped = {});

}  // namespace d2c::job
