#include "d2c/results/checkpoint.hpp"

#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "schema_reader.hpp"
#include "schema_writer.hpp"
#include "seal.hpp"
#include "temporary_file.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

constexpr Schema checkpoint_schema{"d2c-checkpoint", 1};

/// The cache as arrays: each set of tasks stands once.
struct FlatCache {
  std::vector<std::int64_t> set_size;  ///< [set]
  std::vector<int> member;             ///< [member] tasks of all sets after each other
  std::vector<std::int64_t> set;       ///< [entry]
  std::vector<int> task;               ///< [entry]
  std::int64_t n_folds = 0;
  std::vector<double> loss;  ///< [entry, fold]
};

FlatCache flatten(const std::vector<CachedLoss>& cache) {
  FlatCache flat;
  if (!cache.empty()) flat.n_folds = static_cast<std::int64_t>(cache.front().losses.size());
  std::map<std::vector<int>, std::int64_t> sets;
  for (const CachedLoss& entry : cache) {
    const auto [found, is_new] =
        sets.emplace(entry.tasks, static_cast<std::int64_t>(flat.set_size.size()));
    if (is_new) {
      flat.set_size.push_back(static_cast<std::int64_t>(entry.tasks.size()));
      flat.member.insert(flat.member.end(), entry.tasks.begin(), entry.tasks.end());
    }
    if (!std::cmp_equal(entry.losses.size(), flat.n_folds)) {
      throw ContractError("checkpoint: entries have different numbers of folds");
    }
    flat.set.push_back(found->second);
    flat.task.push_back(entry.task);
    flat.loss.insert(flat.loss.end(), entry.losses.begin(), entry.losses.end());
  }
  return flat;
}

std::vector<CachedLoss> unflatten(const SchemaReader& archive, const FlatCache& flat) {
  std::vector<std::vector<int>> sets;
  auto next = flat.member.begin();
  for (const std::int64_t size : flat.set_size) {
    if (size < 0 || size > flat.member.end() - next) archive.refuse("cache/set_size", "is wrong");
    sets.emplace_back(next, next + size);
    next += size;
  }
  if (next != flat.member.end()) archive.refuse("cache/set_size", "is wrong");
  std::vector<CachedLoss> cache;
  auto loss = flat.loss.begin();
  for (std::size_t i = 0; i < flat.set.size(); ++i) {
    if (flat.set[i] < 0 || !std::cmp_less(flat.set[i], sets.size())) {
      archive.refuse("cache/entry_set", "names a set that does not exist");
    }
    cache.push_back({sets[static_cast<std::size_t>(flat.set[i])], flat.task[i],
                     std::vector<double>(loss, loss + flat.n_folds)});
    loss += flat.n_folds;
  }
  return cache;
}

template <class Archive, class State>
void visit_checkpoint(Archive& archive, State& state, FlatCache& flat) {
  const auto required = Presence::required;
  archive.attribute("/", "config_hash", state.config_hash);
  auto n_sets = static_cast<std::int64_t>(flat.set_size.size());
  auto n_members = static_cast<std::int64_t>(flat.member.size());
  auto n_entries = static_cast<std::int64_t>(flat.task.size());
  archive.index("set", "cache/set", n_sets, {"set of tasks whose adapters were merged", "1", ""});
  archive.index("member", "cache/member", n_members, {"members of all sets", "1", ""});
  archive.index("entry", "cache/entry", n_entries, {"entry of the cache", "1", ""});
  archive.index("fold", "cache/fold", flat.n_folds, {"fold of the examples", "1", ""});
  archive.array("cache/set_size", {"set"}, flat.set_size, {"members of the set", "1", ""},
                required);
  archive.array("cache/member_task", {"member"}, flat.member, {"task", "1", ""}, required);
  archive.array("cache/entry_set", {"entry"}, flat.set, {"set", "1", ""}, required);
  archive.array("cache/entry_task", {"entry"}, flat.task, {"task", "1", ""}, required);
  archive.array("cache/loss", {"entry", "fold"}, flat.loss,
                {"loss of the task under the merge of the set", "nats per token", ""}, required);
  archive.names("counter", state.counters);
  for (auto& [name, value] : state.counters) {
    archive.scalar("counter/" + name, value, {name, "1", ""});
  }
  archive.names("scalar", state.scalars);
  for (auto& [name, value] : state.scalars) {
    archive.scalar("scalar/" + name, value, {name, "1", ""});
  }
}

fs::path previous_of(const fs::path& file) { return file.string() + ".previous"; }

Checkpoint load(const fs::path& file) {
  SchemaReader archive(file, SchemaReader::SealRule::required);
  archive.check_header(checkpoint_schema);
  Checkpoint checkpoint;
  FlatCache flat;
  visit_checkpoint(archive, checkpoint, flat);
  checkpoint.cache = unflatten(archive, flat);
  return checkpoint;
}

}  // namespace

void write_checkpoint(const fs::path& file, const Checkpoint& checkpoint) {
  const h5::QuietErrors quiet;
  TemporaryFile temporary(file);
  h5::OutputFile open(file, temporary.path());
  {
    FlatCache flat = flatten(checkpoint.cache);
    SchemaWriter archive(open.get(), file);
    archive.header(checkpoint_schema);
    visit_checkpoint(archive, checkpoint, flat);
    archive.complete();
  }
  open.close();
  append_seal(temporary.path(), file);
  temporary.sync();
  std::error_code ignored;
  fs::rename(file, previous_of(file), ignored);
  temporary.publish();
}

std::optional<LoadedCheckpoint> read_checkpoint(const fs::path& file) {
  const h5::QuietErrors quiet;
  const fs::path previous = previous_of(file);
  std::error_code ignored;
  const bool has_newest = fs::exists(file, ignored);
  const bool has_previous = fs::exists(previous, ignored);
  if (!has_newest && !has_previous) return std::nullopt;
  std::string trouble = file.string() + ": is missing";
  if (has_newest) {
    try {
      return LoadedCheckpoint{load(file), {}};
    } catch (const InputError& error) {
      trouble = error.what();
    }
  }
  const std::string fix =
      fmt::format("remove {} and {} to start over", file.string(), previous.string());
  if (!has_previous) {
    throw InputError({file, {}}, {"no checkpoint can be used", trouble, fix});
  }
  try {
    return LoadedCheckpoint{load(previous), trouble + "; going on from " + previous.string()};
  } catch (const InputError& error) {
    throw InputError({file, {}}, {"no checkpoint can be used", trouble + "; " + error.what(), fix});
  }
}

}  // namespace d2c::results
