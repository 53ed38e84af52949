#include "d2c/driver/task_store.hpp"

#include <sstream>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

#include "wire.hpp"

namespace d2c::driver {
namespace {

using Examples = std::vector<eval::Example>;

/// Wire form of examples: count, then per example its length, prompt length and ids.
void append_examples(std::vector<std::byte>& bytes, const Examples& examples) {
  std::vector<std::int32_t> words{static_cast<std::int32_t>(examples.size())};
  for (const eval::Example& example : examples) {
    words.push_back(static_cast<std::int32_t>(example.ids.size()));
    words.push_back(static_cast<std::int32_t>(example.prompt_len));
    words.insert(words.end(), example.ids.begin(), example.ids.end());
  }
  append_wire(bytes, std::span(words));
}

std::size_t wire_size(const TaskFacts& facts) {
  return sizeof(std::int32_t) * static_cast<std::size_t>(1 + 2 * facts.n_examples + facts.n_tokens);
}

Examples take_examples(std::span<const std::byte>& bytes) {
  const auto take = [&bytes] {
    std::int32_t word = 0;
    take_wire(bytes, std::span(&word, 1));
    return word;
  };
  Examples examples(static_cast<std::size_t>(take()));
  for (eval::Example& example : examples) {
    example.ids.resize(static_cast<std::size_t>(take()));
    example.prompt_len = take();
    take_wire(bytes, std::span(example.ids));
  }
  return examples;
}

/// Sends the examples of each (task, split) from the rank that read them to the one that owns them.
std::map<int, Examples> send_to_owners(comm::Communicator& comm, std::map<int, Examples> read,
                                       std::span<const TaskFacts> facts,
                                       std::span<const int> owners) {
  std::map<int, comm::Parcel> outgoing;
  std::map<int, comm::Parcel> incoming;
  std::map<int, std::vector<int>> expected;
  std::map<int, Examples> owned;
  for (int slot = 0; slot < static_cast<int>(facts.size()); ++slot) {
    const TaskFacts& fact = facts[static_cast<std::size_t>(slot)];
    const int from = (slot / 2) % comm.size();
    const int to = owners[static_cast<std::size_t>(slot / 2)];
    if (fact.n_examples == 0) continue;
    if (from == comm.rank() && to == comm.rank()) {
      owned[slot] = std::move(read[slot]);
    } else if (from == comm.rank()) {
      outgoing[to].rank = to;
      append_examples(outgoing[to].bytes, read[slot]);
    } else if (to == comm.rank()) {
      comm::Parcel& parcel = incoming[from];
      parcel.rank = from;
      parcel.bytes.resize(parcel.bytes.size() + wire_size(fact));
      expected[from].push_back(slot);
    }
  }

  std::vector<comm::Parcel> to_send;
  to_send.reserve(outgoing.size());
  for (auto& [rank, parcel] : outgoing) to_send.push_back(std::move(parcel));
  std::vector<comm::Parcel> to_receive;
  to_receive.reserve(incoming.size());
  for (auto& [rank, parcel] : incoming) to_receive.push_back(std::move(parcel));
  comm.exchange(to_send, to_receive);
  for (const comm::Parcel& parcel : to_receive) {
    std::span<const std::byte> bytes = parcel.bytes;
    for (const int slot : expected[parcel.rank]) owned[slot] = take_examples(bytes);
  }
  return owned;
}

std::vector<std::string> gather_lines(comm::Communicator& comm, const std::string& lines) {
  std::vector<std::string> all;
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(lines)))) {
    std::istringstream text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    for (std::string line; std::getline(text, line);) all.push_back(line);
  }
  return all;
}

}  // namespace

TaskStore::TaskStore(comm::Communicator& comm, const Manifest& manifest,
                     const eval::TextEncoding& encoding, const eval::TokenLimits& limits,
                     const PackOptions& options) {
  const auto n_tasks = static_cast<int>(manifest.tasks.size());
  std::map<int, Examples> read;
  std::string warnings;
  comm::agree(comm, [&] {
    for (int task = comm.rank(); task < n_tasks; task += comm.size()) {
      const TaskSpec& spec = manifest.tasks[static_cast<std::size_t>(task)];
      for (const Split split : {Split::few_shot, Split::held_out}) {
        const auto& file = split == Split::few_shot ? spec.examples : spec.test;
        if (file.empty()) continue;
        auto content = eval::read_examples(file, encoding, limits);
        for (const std::string& warning : content.warnings) warnings += warning + "\n";
        read[slot(task, split)] = std::move(content.examples);
      }
    }
  });
  warnings_ = gather_lines(comm, warnings);

  // What an evaluation of each task costs is known only now; four numbers per task and split.
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(n_tasks) * 2 * 4, 0);
  for (const auto& [slot, examples] : read) {
    const auto batches = eval::pack(examples, options.loss_on, options.max_tokens);
    const eval::TokenCounts counts = eval::count_tokens(examples, batches);
    const std::int64_t values[4] = {std::ssize(examples), counts.total, counts.computed,
                                    counts.targets};
    std::copy(std::begin(values), std::end(values), numbers.begin() + std::ptrdiff_t{4} * slot);
  }
  comm.sum(std::span(numbers));
  std::vector<double> costs(static_cast<std::size_t>(n_tasks));
  for (std::size_t slot = 0; slot < numbers.size() / 4; ++slot) {
    const auto* n = numbers.data() + 4 * slot;
    facts_.push_back({n[0], n[1], n[2], n[3]});
    // The few-shot examples are evaluated again and again, the held-out ones once.
    if (slot % 2 == 0) costs[slot / 2] = static_cast<double>(n[2]);
  }
  owners_ = comm::balance(costs, comm.size());

  for (auto& [slot, examples] : send_to_owners(comm, std::move(read), facts_, owners_)) {
    local_[slot] = {std::ssize(examples),
                    eval::pack(examples, options.loss_on, options.max_tokens)};
  }
}

bool TaskStore::any_held_out() const {
  for (int task = 0; task < n_tasks(); ++task) {
    if (facts(task, Split::held_out).n_examples > 0) return true;
  }
  return false;
}

}  // namespace d2c::driver
