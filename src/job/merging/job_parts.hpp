#pragma once

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/progress.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/loss_engine.hpp"

#include "adapters/adapter_store.hpp"
#include "input/task_store.hpp"

namespace d2c::job {

/// What all that evaluates tasks under adapters works with. What it refers to outlives its users.
struct JobParts {
  comm::Communicator& comm;
  const AdapterStore& adapters;
  const TaskStore& tasks;
  const IdVector<TaskId, AdapterId>& adapter_of_task;
  eval::LossEngine& engine;
  PhaseTimers& timers;
  Progress& progress = Progress::silent();
};

}  // namespace d2c::job
