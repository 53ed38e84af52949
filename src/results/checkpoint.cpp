#include "d2c/results/checkpoint.hpp"

#include <span>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "schema/schema_file.hpp"
#include "schema/schema_reader.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

constexpr Schema checkpoint_schema{"d2c-checkpoint", 1};

/// The cache as arrays: the rows of all sets after each other.
struct FlatCache {
  std::vector<std::int64_t> n_members;  ///< [set]
  std::vector<std::int64_t> n_entries;  ///< [set]
  std::vector<int> member;              ///< [member] tasks of the sets
  std::vector<int> task;                ///< [entry]
  std::vector<double> loss;             ///< [entry, fold]
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

FlatCache flatten(const Checkpoint& checkpoint) {
  FlatCache flat;
  for (const CachedSet& row : checkpoint.cache) {
    flat.n_members.push_back(static_cast<std::int64_t>(row.set.size()));
    flat.n_entries.push_back(static_cast<std::int64_t>(row.tasks.size()));
    append(flat.member, row.set);
    append(flat.task, row.tasks);
    append(flat.loss, row.losses);
  }
  return flat;
}

/// Takes `count` values off the front of `values`; nothing where there are fewer.
template <class T>
std::optional<std::vector<T>> take(std::span<const T>& values, std::int64_t count) {
  if (count < 0 || std::cmp_greater(count, values.size())) return std::nullopt;
  const auto front = values.first(static_cast<std::size_t>(count));
  values = values.subspan(front.size());
  return std::vector<T>(front.begin(), front.end());
}

std::vector<CachedSet> unflatten(const SchemaReader& archive, const FlatCache& flat, int n_folds) {
  std::span<const int> members = flat.member;
  std::span<const int> tasks = flat.task;
  std::span<const double> losses = flat.loss;
  std::vector<CachedSet> cache;
  for (std::size_t s = 0; s < flat.n_members.size(); ++s) {
    auto set = take(members, flat.n_members[s]);
    auto known = take(tasks, flat.n_entries[s]);
    if (!set || !known) archive.refuse("cache", "has counts that do not fit");
    auto values = take(losses, flat.n_entries[s] * n_folds);
    if (!values) archive.refuse("cache", "has counts that do not fit");
    cache.push_back({std::move(*set), std::move(*known), std::move(*values)});
  }
  if (!members.empty() || !tasks.empty()) archive.refuse("cache", "has counts that do not fit");
  return cache;
}

template <class Archive, class State, class Cache>
void visit_checkpoint(Archive& archive, State& state, Cache& flat) {
  archive.attribute("/", "config_hash", state.config_hash);
  archive.scale("set", "cache/n_members", flat.n_members, {"number of members", "1", ""});
  archive.scale("member", "cache/member_task", flat.member,
                {"task, the sets after each other", "1", "0-based"});
  archive.scale("entry", "cache/entry_task", flat.task,
                {"task, the sets after each other", "1", "0-based"});
  archive.index("fold", "cache/fold", state.n_folds, {"fold of the examples", "1", "0-based"});
  archive.array("cache/n_entries", {"set"}, flat.n_entries, {"number of entries", "1", ""},
                Presence::required);
  archive.array("cache/loss", {"entry", "fold"}, flat.loss,
                {"loss of the task under the merge of the set", "nats per token", ""},
                Presence::required);
  archive.names("baseline", state.baselines);
  for (auto& [name, losses] : state.baselines) {
    archive.scale("baseline " + name, "baseline/" + name, losses,
                  {"losses of the tasks, fold by fold", "nats per token", ""});
  }
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
  checkpoint.cache = unflatten(archive, flat, checkpoint.n_folds);
  return checkpoint;
}

}  // namespace

void write_checkpoint(const fs::path& file, const Checkpoint& checkpoint) {
  const h5::QuietErrors quiet;
  SchemaFile out(file);
  const FlatCache flat = flatten(checkpoint);
  out.complete(checkpoint_schema,
               [&](SchemaWriter& archive) { visit_checkpoint(archive, checkpoint, flat); });
  std::error_code ignored;
  fs::rename(file, previous_of(file), ignored);
  out.pending().publish();
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
    } catch (const Error& error) {
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
  } catch (const Error& error) {
    throw InputError({file, {}}, {"no checkpoint can be used", trouble + "; " + error.what(), fix});
  }
}

}  // namespace d2c::results
