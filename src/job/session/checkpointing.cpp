#include "session/checkpointing.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

#include "input/identity.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> packed_table(const results::LossTable& table) {
  std::vector<std::byte> bytes;
  for (const auto& [key, row] : table) {
    append_list(bytes, key.under);
    append_list(bytes, key.on);
    append_list(bytes, key.adapters);
    append_list(bytes, key.weights);
    append_wire(bytes, std::span(&key.scale, 1));
    append_list(bytes, row.tasks);
    append_list(bytes, row.losses);
  }
  return bytes;
}

results::LossTable unpacked_table(std::span<const std::byte> bytes) {
  results::LossTable table;
  while (!bytes.empty()) {
    results::LossKey key;
    results::LossRow row;
    take_list(bytes, key.under);
    take_list(bytes, key.on);
    take_list(bytes, key.adapters);
    take_list(bytes, key.weights);
    take_wire(bytes, std::span(&key.scale, 1));
    take_list(bytes, row.tasks);
    take_list(bytes, row.losses);
    table.emplace(std::move(key), std::move(row));
  }
  return table;
}

std::size_t n_losses(const results::LossTable& table) {
  std::size_t n = 0;
  for (const auto& [key, row] : table) n += row.tasks.size();
  return n;
}

}  // namespace

Checkpointing::Checkpointing(comm::Communicator& comm, const RunOptions& options,
                             const RunContext& context, fs::path file, results::Identity identity,
                             KnownLosses& known)
    : comm_(comm),
      file_(std::move(file)),
      identity_(std::move(identity)),
      known_(known),
      period_seconds_(options.checkpoint_minutes * 60),
      limit_seconds_(options.max_hours * 3600),
      stop_requested_(context.stop_requested),
      log_(comm.is_root() ? context.log : nullptr) {}

void Checkpointing::resume() {
  std::vector<std::byte> bytes;
  comm::agree(comm_, [&] {
    if (!comm_.is_root()) return;
    auto loaded = results::read_checkpoint(file_);
    if (!loaded.has_value()) return;
    if (log_ && !loaded->warning.empty()) log_("warning: " + loaded->warning);
    const auto& [identity, measured] = loaded->checkpoint;
    if (const std::string change = differences(identity, identity_); !change.empty()) {
      throw InputError(
          {file_, {}},
          {"is of another job: " + change, "losses that it holds cannot be mixed with new ones",
           "restore what has changed, choose another --output, or remove the file"});
    }
    if (log_) log_(fmt::format("going on from {}: {} losses", file_.string(), n_losses(measured)));
    bytes = packed_table(measured);
  });
  known_ = KnownLosses(unpacked_table(comm_.broadcast(std::move(bytes), 0)));
}

bool Checkpointing::check() {
  out_of_time_ |= limit_seconds_ > 0 && watch_.seconds() > limit_seconds_;
  const bool due = comm_.is_root() && is_due();
  std::array<double, 3> votes{stop_requested_ && stop_requested_() ? 1.0 : 0.0,
                              out_of_time_ ? 1.0 : 0.0, due ? 1.0 : 0.0};
  comm_.maximum(votes);
  out_of_time_ = votes[1] > 0;
  const double start = watch_.seconds();
  if (votes[0] > 0 || votes[2] > 0) save_trainings();
  if (votes[0] == 0) {
    if (due) write_or_warn();
    if (due) cost_ = watch_.seconds() - start;
    return out_of_time_;
  }
  comm::agree(comm_, [&] {
    if (!comm_.is_root()) return;
    try {
      write();
    } catch (const Error& error) {
      throw InputError(
          {}, {"a signal stopped the job, and its checkpoint cannot be written",
               fmt::format("{}; what was measured since the one before is lost", error.what()),
               "free some space or mend the folder, and run the same command again"});
    }
  });
  throw Stopped();
}

bool Checkpointing::is_due() const {
  // Large ones are written less often: they shall take a twentieth of the time at most.
  constexpr double small = 1.0;
  const double rest = cost_ > small ? 19 * cost_ : 0.0;
  return period_seconds_ > 0 && watch_.seconds() - last_write_ > std::max(period_seconds_, rest);
}

/// A training that is not saved is done again, with the same result.
void Checkpointing::save_trainings() {
  try {
    for (const auto& save : savers_) save();
  } catch (const comm::AgreedError& error) {
    if (log_) log_(fmt::format("warning: {}; a stopped job trains again", error.what()));
  }
}

void Checkpointing::write_or_warn() {
  try {
    write();
    warned_ = false;
  } catch (const Error& error) {
    last_write_ = watch_.seconds();
    if (log_ && !std::exchange(warned_, true)) {
      log_(
          fmt::format("warning: {}; the job goes on and tries again every {:g} minutes, a "
                      "checkpoint from before stays",
                      error.what(), period_seconds_ / 60));
    }
  }
}

void Checkpointing::write() {
  results::write_checkpoint(file_, identity_, known_.table());
  last_write_ = watch_.seconds();
}

void Checkpointing::remove() const {
  std::error_code ignored;
  fs::remove(file_, ignored);
  fs::remove(file_.string() + ".previous", ignored);
  // With another cap on merged adapters, the stopped run may have trained in more groups.
  bool found = true;
  for (std::size_t n = 0; found || n < savers_.size(); ++n) {
    found = fs::remove(fmt::format("{}.{}", training_file().string(), n), ignored);
  }
}

}  // namespace d2c::job
