#include "losses/recorded_losses.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::job {
namespace {

/// Other processors and numbers of threads round otherwise; the largest difference to another
/// implementation of the models is 2e-5 nats.
bool differ(double recorded, double now) {
  constexpr double rounding = 1e-4;
  return std::isfinite(recorded) &&
         !(std::abs(recorded - now) <= rounding * std::max(1.0, std::abs(recorded)));
}

void refuse(const std::filesystem::path& file, const std::string& task, const char* under,
            double recorded, double now, const char* fix) {
  throw InputError(
      {file, {}}, {fmt::format("the loss of task '{}' {} is {:.6f}, but the result recorded {:.6f}",
                               task, under, now, recorded),
                   "losses of another model, other examples or other adapters cannot be mixed "
                   "with those of the result",
                   fix});
}

/// One entry in each of some clusters, spread over the clusters and their tasks.
struct Sample {
  std::vector<cluster::TaskSet> sets;
  std::vector<cluster::Query> queries;
  std::vector<double> losses;  ///< recorded, [queries, folds]

  Sample(const std::vector<cluster::CachedOracle::Entry>& known, std::size_t n_folds) {
    constexpr std::size_t most = 4;
    const std::size_t n = std::min(most, known.size());
    for (std::size_t i = 0; i < n; ++i) {
      const cluster::CachedOracle::Entry& entry = known[i * known.size() / n];
      const std::size_t task = (i + 1) * 7 % entry.tasks.size();
      queries.push_back({sets.size(), entry.tasks[task]});
      sets.push_back(entry.set);
      const auto begin = entry.losses.begin() + static_cast<std::ptrdiff_t>(task * n_folds);
      losses.insert(losses.end(), begin, begin + static_cast<std::ptrdiff_t>(n_folds));
    }
  }
};

}  // namespace

void check_recorded(comm::Communicator& comm, const RecordedLosses& recorded, const Job& job,
                    const results::Baselines& baselines, DistributedOracle& oracle) {
  const auto n_folds = static_cast<std::size_t>(oracle.n_folds());
  const Sample sample(recorded.known, n_folds);
  comm::agree(comm, [&] {
    for (std::size_t t = 0; t < recorded.base.size(); ++t) {
      const eval::TaskSpec& task = job.manifest.tasks[t];
      if (differ(recorded.base[t], baselines.at("base")[t])) {
        refuse(task.examples, task.name, "without an adapter", recorded.base[t],
               baselines.at("base")[t], "use the model and the examples of the result");
      }
      if (differ(recorded.own[t], baselines.at("own")[t])) {
        refuse(task.adapter, task.name, "under its own adapter", recorded.own[t],
               baselines.at("own")[t], "use the adapters of the result");
      }
    }
  });
  const std::vector<double> now = oracle.losses(sample.sets, sample.queries);
  comm::agree(comm, [&] {
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (!differ(sample.losses[i], now[i])) continue;
      const std::size_t task = sample.queries[i / n_folds].task.index();
      refuse(job.manifest.tasks[task].adapter, job.manifest.tasks[task].name,
             "under a merged adapter of the result", sample.losses[i], now[i],
             "make the result anew with this version of d2c");
    }
  });
}

}  // namespace d2c::job
