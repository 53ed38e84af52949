#include "report/phase_report.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <unistd.h>

namespace d2c::job {
namespace {

// In the order of a job. None contains another.
constexpr std::array phases{"load",   "layer inputs", "merge",     "exchange", "evaluate", "wait",
                            "reduce", "similarity",   "gradients", "write",    "other",    "total"};

std::vector<std::string> hosts_of_ranks(comm::Communicator& comm) {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return comm::gather_lines(comm, std::string(name.data()) + "\n");
}

}  // namespace

results::Timing phase_report(comm::Communicator& comm, const PhaseTimers& timers,
                             double total_seconds) {
  std::vector<double> own(phases.size(), 0.0);
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const auto place = timers.seconds().find(phases[i]);
    if (place != timers.seconds().end()) own[i] = place->second;
  }
  double accounted = 0.0;
  for (const double seconds : own) accounted += seconds;
  own[phases.size() - 2] = std::max(0.0, total_seconds - accounted);
  own[phases.size() - 1] = total_seconds;

  results::Timing timing;
  timing.host = hosts_of_ranks(comm);
  for (const auto& of_rank : comm::all_gather_values<double>(comm, own)) {
    timing.seconds.insert(timing.seconds.end(), of_rank.begin(), of_rank.end());
  }
  timing.phase.assign(phases.begin(), phases.end());
  timing.min = timing.mean = timing.max = own;
  comm.minimum(timing.min);
  comm.maximum(timing.max);
  comm.sum(timing.mean);
  for (std::size_t i = 0; i < own.size(); ++i) {
    timing.mean[i] /= comm.size();
    timing.imbalance.push_back(timing.mean[i] > 0 ? timing.max[i] / timing.mean[i] : 1.0);
  }
  return timing;
}

}  // namespace d2c::job
