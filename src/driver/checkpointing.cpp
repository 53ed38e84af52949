#include "checkpointing.hpp"

#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/signals.hpp"
#include "d2c/results/checkpoint.hpp"

#include "entries.hpp"

namespace d2c::driver {
namespace {

namespace fs = std::filesystem;
using Entry = cluster::CachedOracle::Entry;

}  // namespace

Checkpointing::Checkpointing(comm::Communicator& comm, const RunOptions& options, fs::path file,
                             std::string hash, std::function<void(const std::string&)> log)
    : comm_(comm),
      file_(std::move(file)),
      hash_(std::move(hash)),
      period_seconds_(options.checkpoint_minutes * 60),
      limit_seconds_(options.max_hours * 3600),
      log_(std::move(log)) {}

void Checkpointing::resume(cluster::CachedOracle& cache) {
  std::vector<std::byte> bytes;
  comm::agree(comm_, [&] {
    if (!comm_.is_root()) return;
    auto loaded = results::read_checkpoint(file_);
    if (!loaded.has_value()) return;
    if (!loaded->warning.empty() && log_) log_("warning: " + loaded->warning);
    if (loaded->checkpoint.config_hash != hash_) {
      throw InputError(
          {file_, "config_hash"},
          {fmt::format("is {}, but this job has {}", loaded->checkpoint.config_hash, hash_),
           "it was left by a job with other inputs or options",
           "repeat that job's command, choose another --output, or remove the file"});
    }
    std::vector<Entry> entries;
    for (auto& set : loaded->checkpoint.cache) {
      entries.push_back({std::move(set.set), std::move(set.tasks), std::move(set.losses)});
    }
    if (log_)
      log_(fmt::format("going on from {}: losses of {} merged adapters", file_.string(),
                       entries.size()));
    bytes = pack_entries(entries);
  });
  cache.restore(unpack_entries(comm_.broadcast(std::move(bytes), 0)));
}

bool Checkpointing::stop(const cluster::CachedOracle& cache) {
  if (stopped_) return true;
  std::array<double, 2> votes{StopSignals::requested() ? 1.0 : 0.0,
                              limit_seconds_ > 0 && watch_.seconds() > limit_seconds_ ? 1.0 : 0.0};
  comm_.maximum(votes);
  stopped_by_signal_ = votes[0] > 0;
  stopped_ = stopped_by_signal_ || votes[1] > 0;
  const bool due = period_seconds_ > 0 && watch_.seconds() - last_write_ > period_seconds_;
  if (stopped_by_signal_ || due) save(cache);
  return stopped_;
}

void Checkpointing::save(const cluster::CachedOracle& cache) {
  if (!comm_.is_root()) return;
  results::Checkpoint checkpoint;
  checkpoint.config_hash = hash_;
  checkpoint.n_folds = cache.n_folds();
  for (Entry& entry : cache.save()) {
    checkpoint.cache.push_back(
        {std::move(entry.set), std::move(entry.tasks), std::move(entry.losses)});
  }
  results::write_checkpoint(file_, checkpoint);
  last_write_ = watch_.seconds();
}

void Checkpointing::remove() const {
  std::error_code ignored;
  fs::remove(file_, ignored);
  fs::remove(file_.string() + ".previous", ignored);
}

}  // namespace d2c::driver
