#include "report/progress_log.hpp"

#include <fmt/format.h>

namespace d2c::job {

void ProgressLog::on_iteration(const cluster::Progress& progress) {
  log_(fmt::format(
      "{:8.1f} s  start {:>3}  iteration {:>3}  objective {:.4f}  best {:.4f}  moved {:>4}  "
      "evaluations {}",
      watch_.seconds(), progress.restart + 1, progress.iteration + 1, progress.objective,
      progress.best, progress.moved, progress.evaluations));
}

}  // namespace d2c::job
