#include "output/progress_log.hpp"

#include <fmt/format.h>

namespace d2c::job {

void ProgressLog::on_iteration(const cluster::Progress& progress) {
  seconds_[{progress.restart, progress.iteration}] = watch_.seconds() - last_;
  last_ = watch_.seconds();
  if (!log_) return;
  log_(fmt::format(
      "{:8.1f} s  start {:>3}  iteration {:>3}  objective {:.4f}  best {:.4f}  moved {:>4}  "
      "evaluations {}",
      watch_.seconds(), progress.restart + 1, progress.iteration + 1, progress.objective,
      progress.best, progress.moved, progress.evaluations));
}

double ProgressLog::seconds(int restart, int iteration) const {
  const auto place = seconds_.find({restart, iteration});
  return place == seconds_.end() ? 0.0 : place->second;
}

}  // namespace d2c::job
