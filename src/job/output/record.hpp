#pragma once

#include <string>

#include "d2c/cluster/search.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/job/run.hpp"
#include "d2c/results/run_results.hpp"

#include "input/job.hpp"

/// What a job did, in the form in which it is written.
namespace d2c::job {

/// @param hash  of what decides the numbers
[[nodiscard]] results::Provenance provenance(const comm::Communicator& comm,
                                             const RunOptions& options, const RunContext& context,
                                             const std::string& hash);

[[nodiscard]] results::TaskTable task_table(const Job& job);

/// Iterations, restarts and curve.
void describe_search(const cluster::SearchResult& search, results::RunResults& out);

}  // namespace d2c::job
