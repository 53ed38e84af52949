#include "d2c/results/checkpoint.hpp"

#include <span>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/input_file.hpp"

#include "files/seal.hpp"
#include "schema/schema_file.hpp"
#include "schema/schema_reader.hpp"

namespace d2c::results {
namespace {

namespace fs = std::filesystem;

constexpr Schema checkpoint_schema{"d2c-checkpoint", 1};

/// A checkpoint as arrays: the parts of all rows after each other.
struct Flat {
  std::vector<std::string> part;         ///< [part]
  std::vector<std::string> value;        ///< [part]
  std::vector<std::string> under;        ///< [row]
  std::vector<std::string> on;           ///< [row]
  std::vector<double> scale;             ///< [row]
  std::vector<std::int64_t> n_adapters;  ///< [row]
  std::vector<std::int64_t> n_tasks;     ///< [row]
  std::vector<std::int64_t> n_losses;    ///< [row]
  std::vector<int> adapter;              ///< [member]
  std::vector<double> weight;            ///< [member]
  std::vector<int> task;                 ///< [entry]
  std::vector<double> loss;              ///< [loss]
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

Flat flatten(const Identity& identity, const LossTable& measured) {
  Flat flat;
  for (const auto& [part, value] : identity) {
    flat.part.push_back(part);
    flat.value.push_back(value);
  }
  for (const auto& [key, row] : measured) {
    flat.under.push_back(key.under);
    flat.on.push_back(key.on);
    flat.scale.push_back(key.scale);
    flat.n_adapters.push_back(std::ssize(key.adapters));
    flat.n_tasks.push_back(std::ssize(row.tasks));
    flat.n_losses.push_back(std::ssize(row.losses));
    append_numbers(key.adapters, flat.adapter);
    append(flat.weight, key.weights);
    append_numbers(row.tasks, flat.task);
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

Checkpoint unflatten(const SchemaReader& archive, const Flat& flat) {
  const auto check = [&](bool fits) {
    if (!fits) archive.refuse("row", "has counts that do not fit");
  };
  Checkpoint checkpoint;
  for (std::size_t i = 0; i < flat.part.size(); ++i) {
    checkpoint.identity[flat.part[i]] = flat.value[i];
  }
  std::span<const int> members = flat.adapter;
  std::span<const double> weights = flat.weight;
  std::span<const int> entries = flat.task;
  std::span<const double> values = flat.loss;
  for (std::size_t r = 0; r < flat.under.size(); ++r) {
    auto adapters = take(members, flat.n_adapters[r]);
    auto weight = take(weights, flat.n_adapters[r]);
    auto tasks = take(entries, flat.n_tasks[r]);
    auto losses = take(values, flat.n_losses[r]);
    check(adapters && weight && tasks && losses);
    checkpoint.measured[{flat.under[r], flat.on[r], ids_of<AdapterId>(*adapters),
                         std::move(*weight), flat.scale[r]}] = {ids_of<TaskId>(*tasks),
                                                                std::move(*losses)};
  }
  check(members.empty() && entries.empty() && values.empty());
  return checkpoint;
}

template <class Archive, class Arrays>
void visit_checkpoint(Archive& archive, Arrays& flat) {
  constexpr auto required = Presence::required;
  archive.scale("part", "identity/part", flat.part,
                {"option or input that decides the numbers", "", ""});
  archive.array("identity/value", {"part"}, flat.value, {"what it was", "", ""}, required);
  archive.scale("row", "row/under", flat.under,
                {"what the losses were measured under: base, own or a merge method", "", ""});
  archive.array("row/on", {"row"}, flat.on, {"examples that they were measured on", "", ""},
                required);
  archive.array("row/scale", {"row"}, flat.scale, {"factor on the merged update", "1", ""},
                required);
  archive.array("row/n_adapters", {"row"}, flat.n_adapters, {"number of adapters", "1", ""},
                required);
  archive.array("row/n_tasks", {"row"}, flat.n_tasks, {"number of tasks", "1", ""}, required);
  archive.array("row/n_losses", {"row"}, flat.n_losses, {"number of losses", "1", ""}, required);
  archive.scale("member", "member/adapter", flat.adapter,
                {"adapter, the rows after each other", "1", "0-based"});
  archive.array("member/weight", {"member"}, flat.weight, {"weight of the adapter", "1", ""},
                required);
  archive.scale("entry", "entry/task", flat.task,
                {"task, the rows after each other", "1", "0-based"});
  archive.scale("loss", "loss", flat.loss,
                {"losses of the tasks, fold by fold, the rows after each other", "nats per token",
                 "NaN: not measured"});
}

fs::path previous_of(const fs::path& file) { return file.string() + ".previous"; }

bool is_whole(const fs::path& file) {
  try {
    return check_seal(file) == Seal::fits;
  } catch (const Error&) {
    return false;
  }
}

Checkpoint load(const fs::path& file) {
  SchemaReader archive(file, SchemaReader::SealRule::required);
  archive.check_header(checkpoint_schema);
  Flat flat;
  visit_checkpoint(archive, flat);
  return unflatten(archive, flat);
}

}  // namespace

void write_checkpoint(const fs::path& file, const Identity& identity, const LossTable& measured) {
  const h5::QuietErrors quiet;
  SchemaFile out(file);
  const Flat flat = flatten(identity, measured);
  out.complete(checkpoint_schema, [&](SchemaWriter& archive) { visit_checkpoint(archive, flat); });
  std::error_code ignored;
  // A damaged one does not take the place of the one before, which the job may have gone on from.
  if (is_whole(file)) fs::rename(file, previous_of(file), ignored);
  out.pending().publish();
}

std::optional<LoadedCheckpoint> read_checkpoint(const fs::path& file) {
  const h5::QuietErrors quiet;
  const fs::path previous = previous_of(file);
  const bool has_newest = is_present(file);
  const bool has_previous = is_present(previous);
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
