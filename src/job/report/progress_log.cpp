#include "report/progress_log.hpp"

#include <fmt/format.h>

namespace d2c::job {

void ProgressLog::begin(const std::string& what, int k, std::int64_t max_evaluations) {
  what_ = what;
  max_evaluations_ = max_evaluations;
  k_ = k;
  progress_.begin(fmt::format("{}, K = {}", what_, k_), "evaluations", max_evaluations_);
}

void ProgressLog::on_iteration(const cluster::Progress& state) {
  if (state.k != k_) begin(std::string(what_), state.k, max_evaluations_);
  progress_.note(fmt::format("best {:.4f}", state.best));
  progress_.detail(fmt::format(
      "start {:>3}  iteration {:>3}  objective {:.4f}  best {:.4f}  moved {:>4}  evaluations {}",
      state.restart + 1, state.iteration + 1, state.objective, state.best, state.moved,
      state.evaluations));
}

}  // namespace d2c::job
