#include "launch.hpp"

#include <cstdlib>

namespace d2c::comm {

std::optional<Misfit> find_misfit(const std::function<const char*(const char*)>& variable) {
  const auto is_above = [&](const char* name, int limit) {
    const char* text = variable(name);
    return text != nullptr && std::atoi(text) > limit;
  };
  const auto misfit = [&](const char* name) { return Misfit{name, variable(name)}; };
  // Open MPI's mpirun: as many processes as it says, of an MPI that is not ours if they are alone.
  if (variable("OMPI_COMM_WORLD_SIZE") != nullptr) {
    if (is_above("OMPI_COMM_WORLD_SIZE", 1)) return misfit("OMPI_COMM_WORLD_SIZE");
    return std::nullopt;
  }
  // The launchers of MPICH and Intel MPI, and srun --mpi=pmi2.
  if (is_above("PMI_SIZE", 1)) return misfit("PMI_SIZE");
  // A PMIx launcher whose PMIx library is not ours: only its first process could be the only one.
  if (is_above("PMIX_RANK", 0)) return misfit("PMIX_RANK");
  // srun. Where the step says nothing (a batch script, older SLURM) the job's number of tasks
  // counts, but not in a shell, which is no task.
  if (variable("SLURM_STEP_NUM_TASKS") != nullptr) {
    if (is_above("SLURM_STEP_NUM_TASKS", 1)) return misfit("SLURM_STEP_NUM_TASKS");
  } else if (variable("SLURM_PROCID") != nullptr && is_above("SLURM_NTASKS", 1)) {
    return misfit("SLURM_NTASKS");
  }
  return std::nullopt;
}

}  // namespace d2c::comm
