#include "output/checkpointing.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/signals.hpp"
#include "d2c/results/checkpoint.hpp"

#include "input/entries.hpp"
#include "input/wire.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;
using Entry = cluster::CachedOracle::Entry;
using Baselines = std::map<std::string, std::vector<double>>;

/// Wire form: per baseline the sizes of its name and losses, then both.
std::vector<std::byte> pack_baselines(const Baselines& baselines) {
  std::vector<std::byte> bytes;
  for (const auto& [name, losses] : baselines) {
    const std::array<std::uint64_t, 2> sizes{name.size(), losses.size()};
    append_wire(bytes, std::span(sizes));
    append_wire(bytes, std::span(name));
    append_wire(bytes, std::span(losses));
  }
  return bytes;
}

Baselines unpack_baselines(std::span<const std::byte> bytes) {
  Baselines baselines;
  while (!bytes.empty()) {
    std::array<std::uint64_t, 2> sizes{};
    take_wire(bytes, std::span(sizes));
    std::string name(sizes[0], ' ');
    take_wire(bytes, std::span(name));
    std::vector<double>& losses = baselines[name];
    losses.resize(sizes[1]);
    take_wire(bytes, std::span(losses));
  }
  return baselines;
}

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
  std::vector<std::byte> baselines;
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
    baselines = pack_baselines(loaded->checkpoint.baselines);
  });
  cache.restore(unpack_entries(comm_.broadcast(std::move(bytes), 0)));
  baselines_ = unpack_baselines(comm_.broadcast(std::move(baselines), 0));
}

std::vector<double> Checkpointing::baseline(const std::string& name,
                                            const std::function<std::vector<double>()>& measure) {
  const auto known = baselines_.find(name);
  if (known != baselines_.end()) return known->second;
  return baselines_[name] = measure();
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
  checkpoint.baselines = baselines_;
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

}  // namespace d2c::job
