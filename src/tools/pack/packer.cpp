#include "pack/packer.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library_record.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;

/// Records are written through to the disk and noted after so many bytes or so much time.
constexpr std::uint64_t commit_bytes = 64U << 20;
constexpr double commit_seconds = 1.0;
constexpr std::uint64_t tensor_alignment = 64;

/// Bytes from the start of the file.
std::uint64_t place(std::uint64_t in_data) { return results::library_data_begin() + in_data; }

/// Sizes and times of an adapter's files: an adapter that was packed must not change until all are.
std::string stamp_of(const fs::path& folder) {
  std::string stamp;
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    struct stat status {};
    if (::stat((folder / name).c_str(), &status) != 0) return "missing";
    stamp +=
        fmt::format("{}:{}.{:09} ", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }
  return stamp;
}

/// An adapter of a library that is there, as the journal notes it; its modules are noted, too.
PackedAdapter packed_adapter(const results::LibraryIndex& old, std::size_t i,
                             PackJournal& journal) {
  PackedAdapter adapter{old.name[i],   old.source[i],      "", old.base_model[i], old.dtype[i],
                        old.record(i), old.fingerprint[i], {}};
  adapter.record.begin = old.begin[i];
  for (std::size_t m = 0; m < old.module.size(); ++m) {
    const int rank = old.rank[i * old.module.size() + m];
    if (rank == 0) continue;
    adapter.ranks.emplace_back(journal.module({old.module[m], old.d_out[m], old.d_in[m]}), rank);
  }
  return adapter;
}

bool is_of_earlier_library(const PackedAdapter& adapter) { return adapter.stamp.empty(); }

bool is_kept(const PackJournal& journal, const results::LibraryIndex& old, std::size_t i) {
  return journal.contains(old.name[i]) && is_of_earlier_library(journal.find(old.name[i])) &&
         journal.find(old.name[i]).record.checksum == old.checksum[i];
}

}  // namespace

Packer::Packer(const LibraryOptions& options, PackRequest request)
    : options_(options),
      request_(std::move(request)),
      partial_(options.output),
      journal_(partial_.journal(), partial_.file().size() == 0 ? PackJournal::Start::over
                                                               : PackJournal::Start::go_on) {}

PackSummary Packer::pack() {
  if (options_.if_exists == LibraryOptions::IfExists::append) keep_old_library();
  check_resumed();
  // A record that was not noted is written again.
  partial_.file().resize(place(journal_.data_end()));
  PackSummary summary;
  summary.n_resumed = static_cast<std::size_t>(std::ranges::count_if(
      request_.entries, [&](const PackEntry& entry) { return journal_.contains(entry.name); }));
  try {
    for (const PackEntry& entry : request_.entries) {
      if (!journal_.contains(entry.name)) pack_one(entry);
    }
  } catch (...) {
    save_what_is_done();
    throw;
  }
  commit();
  results::finish_library(partial_.file(), journal_.index());
  summary.n_adapters = journal_.adapters().size();
  summary.bytes = partial_.file().size();
  partial_.publish();
  journal_.remove();
  return summary;
}

void Packer::check_resumed() const {
  std::map<std::string, const PackEntry*> asked;
  for (const PackEntry& entry : request_.entries) asked.emplace(entry.name, &entry);
  for (const PackedAdapter& adapter : journal_.adapters()) {
    const auto entry = asked.find(adapter.name);
    check_resumed(adapter, entry == asked.end() ? nullptr : entry->second);
  }
  if (journal_.data_end() > 0 && partial_.file().size() < place(journal_.data_end())) {
    refuse_resumed("", "is shorter than its journal says");
  }
}

void Packer::check_resumed(const PackedAdapter& adapter, const PackEntry* asked) const {
  if (is_of_earlier_library(adapter) && options_.if_exists == LibraryOptions::IfExists::append) {
    if (asked == nullptr) return;
    throw InputError({options_.output, adapter.name},
                     {"is in the library already", "names identify adapters",
                      "rename the folder, or leave it out"});
  }
  if (asked == nullptr) refuse_resumed(adapter.name, "is not among the adapters to be packed");
  if (stamp_of(asked->folder) != adapter.stamp) {
    refuse_resumed(adapter.name, "has changed since it was packed");
  }
}

void Packer::refuse_resumed(const std::string& name, std::string what) const {
  throw InputError({partial_.file().path(), name},
                   {std::move(what), "an earlier call packed it and did not finish",
                    fmt::format("give the same adapters again, or remove {} and {} to start over",
                                partial_.file().path().string(), partial_.journal().string())});
}

void Packer::keep_old_library() {
  const results::LibraryIndex old = results::read_library(options_.output);
  bool all_kept = true;
  for (std::size_t i = 0; i < old.n_adapters(); ++i) {
    all_kept = all_kept && is_kept(journal_, old, i);
  }
  if (all_kept) return;
  journal_.clear();
  partial_.file().resize(place(0));
  partial_.file().resize(place(old.data_bytes));
  const InputFile library(options_.output);
  for (std::size_t i = 0; i < old.n_adapters(); ++i) {
    partial_.file().write(place(old.begin[i]),
                          results::read_record_bytes(library, old.name[i], old.record(i)));
    journal_.add(packed_adapter(old, i, journal_));
    unchecked_.push_back(journal_.adapters().back().record);
  }
  commit();
}

void Packer::pack_one(const PackEntry& entry) {
  PackedAdapter packed;
  packed.name = entry.name;
  packed.source = fs::absolute(entry.folder).lexically_normal().string();
  packed.stamp = stamp_of(entry.folder);
  lora::AdapterFiles files = lora::read_adapter_files(entry.folder);
  packed.record = write_record(files);
  note(std::move(packed), lora::read_adapter(std::move(files), request_.modules, request_.model),
       entry);
  if (journal_.data_end() - committed_ < commit_bytes && since_commit_.seconds() < commit_seconds) {
    return;
  }
  commit();
  if (!options_.log) return;
  const auto n_old = std::ranges::count_if(journal_.adapters(), is_of_earlier_library);
  options_.log(fmt::format("packed {} of {} adapters", std::ssize(journal_.adapters()) - n_old,
                           request_.entries.size()));
}

results::LibraryRecord Packer::write_record(const lora::AdapterFiles& files) {
  results::LibraryRecord record;
  record.begin = journal_.data_end();
  record.config_bytes = files.config.size();
  record.tensors_begin =
      (record.config_bytes + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
  record.tensors_bytes = files.tensors.size();
  std::string head = files.config;
  head.resize(record.tensors_begin, '\0');
  const auto head_bytes = std::as_bytes(std::span(head));
  record.checksum = crc32(files.tensors, crc32(head_bytes));
  const std::uint64_t end = aligned_record_end(record.begin + record.bytes());
  const std::vector<std::byte> padding(end - record.begin - record.bytes());
  partial_.file().write(place(record.begin), head_bytes);
  partial_.file().write(place(record.begin + record.tensors_begin), files.tensors);
  partial_.file().write(place(record.begin + record.bytes()), padding);
  unchecked_.push_back(record);
  return record;
}

void Packer::note(PackedAdapter packed, const lora::Adapter& adapter, const PackEntry& entry) {
  packed.base_model = adapter.config.base_model;
  packed.dtype = name_of(adapter.dtype);
  packed.fingerprint = lora::fingerprint(adapter.modules);
  for (const auto& [name, factors] : adapter.modules) {
    journal_.expect_shape({name, factors.d_out(), factors.d_in()}, entry.folder);
  }
  for (const auto& [name, factors] : adapter.modules) {
    packed.ranks.emplace_back(journal_.module({name, factors.d_out(), factors.d_in()}),
                              static_cast<int>(factors.rank()));
  }
  journal_.add(std::move(packed));
}

void Packer::read_back() {
  const InputFile file(partial_.file().path());
  for (const results::LibraryRecord& record : unchecked_) {
    const std::uint64_t begin = place(record.begin);
    if (crc32(file, begin, begin + record.bytes()) == record.checksum) continue;
    refuse_lost_write({options_.output},
                      fmt::format("the record at byte {} holds other bytes", begin));
  }
  unchecked_.clear();
}

void Packer::commit() {
  partial_.file().sync();
  read_back();
  journal_.commit();
  committed_ = journal_.data_end();
  since_commit_ = Stopwatch();
}

void Packer::save_what_is_done() noexcept {
  try {
    commit();
  } catch (const std::exception&) {
  }
}

}  // namespace d2c::tools
