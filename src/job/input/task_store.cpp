#include "input/task_store.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::job {
namespace {

using Examples = std::vector<eval::Example>;

std::uint64_t stored_bytes(const TaskFacts& facts) {
  return sizeof(std::int32_t) * static_cast<std::uint64_t>(2 * facts.n_examples + facts.n_tokens);
}

/// Per example its length, its prompt's length and its ids.
void write_examples(const Examples& examples, std::span<std::byte> place) {
  std::vector<std::byte> bytes;
  for (const eval::Example& example : examples) {
    const std::array<std::int32_t, 2> lengths{static_cast<std::int32_t>(example.ids.size()),
                                              static_cast<std::int32_t>(example.prompt_len)};
    append_wire(bytes, std::span(lengths));
    append_wire(bytes, std::span(example.ids));
  }
  D2C_EXPECTS(bytes.size() == place.size());
  std::ranges::copy(bytes, place.begin());
}

std::uint64_t bytes_of(const PackedTask& task) {
  std::uint64_t bytes = sizeof(PackedTask);
  for (const eval::Batch& batch : task.batches) {
    bytes += sizeof(batch) + std::as_bytes(std::span(batch.forest.ids)).size() +
             std::as_bytes(std::span(batch.forest.segments)).size() +
             std::as_bytes(std::span(batch.targets)).size() +
             std::as_bytes(std::span(batch.places)).size();
  }
  return bytes;
}

}  // namespace

TaskStore::TaskStore(comm::Communicator& comm, const eval::Manifest& manifest,
                     const eval::TextEncoding& encoding, const eval::TokenLimits& limits,
                     const PackOptions& options, int ranks_per_node)
    : options_(options), cache_(options.cache_bytes) {
  for (const eval::TaskSpec& task : manifest.tasks) names_.push_back(task.name);
  const int n_tasks = names_.n();
  std::map<std::size_t, Examples> read;
  std::map<std::size_t, std::uint64_t> digests;
  std::string warnings;
  comm::agree(comm, [&] {
    for (int number = comm.rank(); number < n_tasks; number += comm.size()) {
      const TaskId task(number);
      const eval::TaskSpec& spec = manifest.tasks[task.index()];
      for (const Split split : {Split::few_shot, Split::held_out}) {
        const auto& file = split == Split::few_shot ? spec.examples : spec.test;
        if (file.empty()) continue;
        auto content = eval::read_examples(file, encoding, limits);
        for (const std::string& warning : content.warnings) warnings += readable(warning) + "\n";
        digests[slot(task, split)] = content.digest;
        read[slot(task, split)] = std::move(content.examples);
      }
    }
  });
  warnings_ = comm::gather_lines(comm, warnings);

  // What an evaluation of each task costs is known only now; five numbers per task and split.
  constexpr std::size_t n_numbers = 5;
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(n_tasks) * 2 * n_numbers, 0);
  for (const auto& [slot, examples] : read) {
    const auto batches = pack(examples);
    const eval::TokenCounts counts = eval::count_tokens(examples, batches);
    const std::array<std::int64_t, n_numbers> values{std::ssize(examples), counts.total,
                                                     counts.computed, counts.targets,
                                                     static_cast<std::int64_t>(digests.at(slot))};
    std::ranges::copy(values, numbers.begin() + static_cast<std::ptrdiff_t>(n_numbers * slot));
  }
  comm.sum(std::span(numbers));
  for (std::size_t slot = 0; slot < numbers.size() / n_numbers; ++slot) {
    const auto* n = numbers.data() + n_numbers * slot;
    facts_.push_back({n[0], n[1], n[2], n[3], static_cast<std::uint64_t>(n[4])});
  }

  const std::vector<std::size_t> part_begin = lay_out(comm.nodes(ranks_per_node));
  ids_ = comm.allocate_on_node(std::max<std::size_t>(part_begin.back(), 1), ranks_per_node);
  for (const auto& [slot, examples] : read) {
    write_examples(examples, ids_->bytes().subspan(offsets_[slot], stored_bytes(facts_[slot])));
  }
  ids_->share_parts(part_begin);
}

std::vector<std::size_t> TaskStore::lay_out(const comm::NodeMap& nodes) {
  const std::size_t n_ranks = nodes.of_rank.size();
  std::vector<std::vector<std::size_t>> tasks_of_node(static_cast<std::size_t>(nodes.n_nodes));
  for (std::size_t task = 0; task < facts_.size() / 2; ++task) {
    tasks_of_node[static_cast<std::size_t>(nodes.of_rank[task % n_ranks])].push_back(task);
  }
  offsets_.resize(facts_.size());
  std::vector<std::size_t> part_begin{0};
  std::size_t end = 0;
  for (const auto& tasks : tasks_of_node) {
    for (const std::size_t task : tasks) {
      for (const std::size_t slot : {2 * task, 2 * task + 1}) {
        offsets_[slot] = end;
        end += stored_bytes(facts_[slot]);
      }
    }
    end = (end + 63) / 64 * 64;
    part_begin.push_back(end);
  }
  return part_begin;
}

std::uint64_t TaskStore::node_bytes() const {
  std::uint64_t bytes = 0;
  for (const TaskFacts& facts : facts_) bytes += stored_bytes(facts);
  return bytes;
}

std::vector<eval::Example> TaskStore::examples(TaskId task, Split split) const {
  const TaskFacts& fact = facts(task, split);
  D2C_EXPECTS(fact.n_examples > 0);
  std::span<const std::byte> bytes =
      ids_->bytes().subspan(offsets_[slot(task, split)], stored_bytes(fact));
  Examples examples(static_cast<std::size_t>(fact.n_examples));
  for (eval::Example& example : examples) {
    std::array<std::int32_t, 2> lengths{};
    take_wire(bytes, std::span(lengths));
    example.ids.resize(static_cast<std::size_t>(lengths[0]));
    example.prompt_len = lengths[1];
    take_wire(bytes, std::span(example.ids));
  }
  return examples;
}

std::shared_ptr<const PackedTask> TaskStore::packed(TaskId task, Split split) const {
  const std::size_t wanted = slot(task, split);
  if (auto kept = cache_.find(wanted)) return kept;
  const Examples content = examples(task, split);
  auto packed = std::make_shared<const PackedTask>(PackedTask{std::ssize(content), pack(content)});
  // A task that is larger than the cache has it for itself.
  cache_.insert(wanted, packed, std::min(bytes_of(*packed), options_.cache_bytes));
  return packed;
}

bool TaskStore::any_held_out() const {
  return std::ranges::any_of(
      ids(), [&](TaskId task) { return facts(task, Split::held_out).n_examples > 0; });
}

}  // namespace d2c::job
