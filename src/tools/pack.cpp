#include "d2c/tools/pack.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/output_file.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/core/utc.hpp"
#include "d2c/core/version.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/model/model.hpp"
#include "d2c/results/library.hpp"
#include "d2c/results/library_record.hpp"

#include "pack_journal.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;

/// Records are written through to the disk and noted after so many bytes or so much time.
constexpr std::uint64_t kCommitBytes = 64U << 20;
constexpr double kCommitSeconds = 1.0;
constexpr std::uint64_t kTensorAlignment = 64;

/// An adapter to be packed.
struct Entry {
  std::string name;
  fs::path folder;
};

/// What is to be packed.
struct Request {
  std::vector<Entry> entries;
  std::vector<lora::TargetModule> modules;  ///< of the base model; empty = not at hand
  fs::path model;
  std::optional<eval::Manifest> manifest;
};

/// The last part of each folder, where they differ; else the whole paths.
std::vector<std::string> names_of(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  names.reserve(folders.size());
  for (const fs::path& folder : folders) {
    names.push_back((folder.has_filename() ? folder : folder.parent_path()).filename().string());
  }
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  names.clear();
  for (const fs::path& folder : folders) names.push_back(folder.string());
  return names;
}

std::vector<fs::path> without_repeats(const std::vector<fs::path>& folders) {
  std::vector<fs::path> distinct;
  std::set<fs::path> seen;
  for (const fs::path& folder : folders) {
    fs::path normal = folder.lexically_normal();
    if (!normal.has_filename()) normal = normal.parent_path();
    if (seen.insert(normal).second) distinct.push_back(normal);
  }
  return distinct;
}

bool is_adapter_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "adapter_config.json", ignored);
}

Request read_request(const LibraryOptions& options) {
  Request request;
  std::vector<fs::path> folders;
  request.model = options.model;
  if (options.inputs.size() == 1 && !is_adapter_folder(options.inputs.front())) {
    request.manifest = eval::read_manifest(options.inputs.front());
    if (!request.manifest->library.empty()) {
      throw InputError({options.inputs.front(), "library"},
                       {"is set: the adapters are in a library already", "",
                        "give a manifest whose adapters are folders"});
    }
    for (const eval::TaskSpec& task : request.manifest->tasks) folders.push_back(task.adapter);
    if (request.model.empty()) request.model = request.manifest->model;
  } else {
    folders = options.inputs;
  }
  folders = without_repeats(folders);
  const std::vector<std::string> names = names_of(folders);
  for (std::size_t i = 0; i < folders.size(); ++i)
    request.entries.push_back({names[i], folders[i]});
  if (!request.model.empty()) {
    request.modules = model::target_modules(model::read_config(request.model / "config.json"));
    std::ranges::sort(request.modules, {}, &lora::TargetModule::name);
  }
  if (request.manifest) {
    request.manifest->library = options.output;
    std::map<fs::path, std::string> name_of;
    for (const Entry& entry : request.entries) name_of.emplace(entry.folder, entry.name);
    for (eval::TaskSpec& task : request.manifest->tasks) {
      task.adapter = name_of.at(without_repeats({task.adapter}).front());
    }
  }
  return request;
}

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

fs::path journal_of(const fs::path& partial) { return partial.string() + ".journal"; }

/// The records on their way to become a library.
class PartialFile {
 public:
  PartialFile(fs::path file, fs::path shown_as)
      : file_(std::move(file)), shown_as_(std::move(shown_as)) {
    std::error_code ignored;
    if (fs::exists(file_, ignored) && !fs::is_empty(file_, ignored) &&
        !fs::exists(journal_of(file_), ignored)) {
      throw InputError({file_, {}}, {"exists, but is not of an earlier call (it has no journal)",
                                     "the library is made there; nothing is overwritten unasked",
                                     "move it, or choose another --output"});
    }
    descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) refuse();
    // Some file systems have no locks; there the user must take care.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw InputError({file_, {}}, {"is being written by another process",
                                     "two would write over each other", "wait until it has ended"});
    }
  }
  ~PartialFile() { ::close(descriptor_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  [[nodiscard]] std::uint64_t size() const { return fs::file_size(file_); }
  void resize(std::uint64_t bytes) const {
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) refuse();
  }
  void write(std::uint64_t begin, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(begin));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) refuse();
      begin += static_cast<std::uint64_t>(written);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void sync() const {
    if (::fsync(descriptor_) != 0) refuse();
  }
  void publish() const {
    if (std::rename(file_.c_str(), shown_as_.c_str()) != 0) refuse();
    const fs::path folder = shown_as_.parent_path();
    const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    static_cast<void>(::fsync(fd));
    ::close(fd);
  }

 private:
  [[noreturn]] void refuse() const {
    throw InputError({shown_as_, {}}, {fmt::format("cannot be written: {}", std::strerror(errno)),
                                       fmt::format("what is packed stays in {}", file_.string()),
                                       "free some space; the same command goes on"});
  }

  fs::path file_;
  fs::path shown_as_;
  int descriptor_ = -1;
};

class Packer {
 public:
  Packer(const LibraryOptions& options, Request request)
      : options_(options),
        request_(std::move(request)),
        partial_path_(options.output.string() + ".partial"),
        partial_(partial_path_, options.output),
        journal_(journal_of(partial_path_)) {}

  PackSummary pack() {
    if (options_.if_exists == LibraryOptions::IfExists::append) keep_old_library();
    check_resumed();
    // A record that was not noted is written again.
    partial_.resize(results::library_data_begin() + journal_.data_end());
    summary_.n_resumed = static_cast<std::size_t>(std::ranges::count_if(
        request_.entries, [&](const Entry& entry) { return journal_.contains(entry.name); }));
    try {
      for (const Entry& entry : request_.entries) {
        if (!journal_.contains(entry.name)) pack_one(entry);
      }
    } catch (...) {
      save_what_is_done();
      throw;
    }
    commit();
    finish();
    return summary_;
  }

 private:
  [[nodiscard]] std::uint64_t place(std::uint64_t in_data) const {
    return results::library_data_begin() + in_data;
  }

  void log(const std::string& text) const {
    if (options_.log) options_.log(text);
  }

  /// What an earlier call left must be a beginning of what is asked for now.
  void check_resumed() {
    std::map<std::string, const Entry*> asked;
    for (const Entry& entry : request_.entries) asked.emplace(entry.name, &entry);
    const auto refuse = [&](const std::string& name, std::string what) {
      throw InputError(
          {partial_path_, name},
          {std::move(what), "an earlier call packed it and did not finish",
           fmt::format("give the same adapters again, or remove {} and {} to start over",
                       partial_path_.string(), journal_of(partial_path_).string())});
    };
    for (const PackedAdapter& adapter : journal_.adapters()) {
      const bool is_old = adapter.stamp.empty();
      const auto entry = asked.find(adapter.name);
      if (is_old && options_.if_exists == LibraryOptions::IfExists::append) {
        if (entry == asked.end()) continue;
        throw InputError({options_.output, adapter.name},
                         {"is in the library already", "names identify adapters",
                          "rename the folder, or leave it out"});
      }
      if (entry == asked.end()) refuse(adapter.name, "is not among the adapters to be packed");
      if (stamp_of(entry->second->folder) != adapter.stamp) {
        refuse(adapter.name, "has changed since it was packed");
      }
    }
    if (journal_.data_end() > 0 && partial_.size() < place(journal_.data_end())) {
      refuse("", "is shorter than its journal says");
    }
  }

  /// Begins with the records of the library that is there, which itself is not touched.
  void keep_old_library() {
    const results::LibraryIndex old = results::read_library(options_.output);
    const auto is_kept = [&](std::size_t i) {
      return journal_.contains(old.name[i]) && journal_.find(old.name[i]).stamp.empty() &&
             journal_.find(old.name[i]).record.checksum == old.checksum[i];
    };
    bool all_kept = true;
    for (std::size_t i = 0; i < old.n_adapters(); ++i) all_kept = all_kept && is_kept(i);
    if (all_kept) return;
    journal_.clear();
    const InputFile file(options_.output);
    partial_.resize(place(0));
    std::vector<std::byte> block(8U << 20);
    for (std::uint64_t done = 0; done < old.data_bytes;) {
      const auto part = std::span(block).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), old.data_bytes - done)));
      file.read(old.data_begin + done, part);
      partial_.write(place(done), part);
      done += part.size();
    }
    for (std::size_t i = 0; i < old.n_adapters(); ++i) {
      PackedAdapter adapter{old.name[i],
                            old.source[i],
                            "",
                            old.base_model[i],
                            old.dtype[i],
                            {old.begin[i], old.config_bytes[i], old.tensors_begin[i],
                             old.tensors_bytes[i], old.checksum[i]},
                            old.fingerprint[i],
                            {}};
      for (std::size_t m = 0; m < old.module.size(); ++m) {
        const int rank = old.rank[i * old.module.size() + m];
        if (rank == 0) continue;
        adapter.ranks.emplace_back(journal_.module({old.module[m], old.d_out[m], old.d_in[m]}),
                                   rank);
      }
      journal_.add(std::move(adapter));
    }
    commit();
  }

  void pack_one(const Entry& entry) {
    PackedAdapter packed;
    packed.name = entry.name;
    packed.source = fs::absolute(entry.folder).lexically_normal().string();
    packed.stamp = stamp_of(entry.folder);
    lora::AdapterFiles files = lora::read_adapter_files(entry.folder);

    results::LibraryRecord& record = packed.record;
    record.begin = journal_.data_end();
    record.config_bytes = files.config.size();
    record.tensors_begin =
        (record.config_bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
    record.tensors_bytes = files.tensors.size();
    std::string head = files.config;
    head.resize(record.tensors_begin, '\0');
    const auto head_bytes = std::as_bytes(std::span(head));
    record.checksum = crc32(files.tensors, crc32(head_bytes));
    const std::uint64_t end = aligned_record_end(record.begin + record.bytes());
    const std::vector<std::byte> padding(end - record.begin - record.bytes());
    partial_.write(place(record.begin), head_bytes);
    partial_.write(place(record.begin + record.tensors_begin), files.tensors);
    partial_.write(place(record.begin + record.bytes()), padding);

    const lora::Adapter adapter =
        lora::read_adapter(std::move(files), request_.modules, request_.model);
    packed.base_model = adapter.base_model;
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
    if (journal_.data_end() - committed_ >= kCommitBytes ||
        since_commit_.seconds() >= kCommitSeconds) {
      commit();
      log(fmt::format("packed {} of {} adapters", journal_.adapters().size(),
                      request_.entries.size()));
    }
  }

  void commit() {
    partial_.sync();
    journal_.commit();
    committed_ = journal_.data_end();
    since_commit_ = Stopwatch();
  }

  /// After an error: the reason of that error is told, not that of this attempt.
  void save_what_is_done() noexcept {
    try {
      commit();
    } catch (const std::exception&) {
    }
  }

  [[nodiscard]] results::LibraryIndex make_index() const {
    results::LibraryIndex index;
    index.version = version();
    index.git_commit = git_commit();
    index.created_utc = utc_now();
    std::map<std::string, int> sorted;
    for (std::size_t m = 0; m < journal_.modules().size(); ++m) {
      sorted.emplace(journal_.modules()[m].name, static_cast<int>(m));
    }
    std::vector<std::size_t> column(sorted.size());
    for (const auto& [name, m] : sorted) {
      const PackedModule& module = journal_.modules()[static_cast<std::size_t>(m)];
      column[static_cast<std::size_t>(m)] = index.module.size();
      index.module.push_back(module.name);
      index.d_out.push_back(module.d_out);
      index.d_in.push_back(module.d_in);
    }
    index.rank.resize(journal_.adapters().size() * column.size(), 0);
    for (std::size_t i = 0; i < journal_.adapters().size(); ++i) {
      const PackedAdapter& adapter = journal_.adapters()[i];
      index.name.push_back(adapter.name);
      index.source.push_back(adapter.source);
      index.base_model.push_back(adapter.base_model);
      index.dtype.push_back(adapter.dtype);
      index.begin.push_back(adapter.record.begin);
      index.config_bytes.push_back(adapter.record.config_bytes);
      index.tensors_begin.push_back(adapter.record.tensors_begin);
      index.tensors_bytes.push_back(adapter.record.tensors_bytes);
      index.checksum.push_back(adapter.record.checksum);
      index.fingerprint.push_back(adapter.fingerprint);
      for (const auto& [module, rank] : adapter.ranks) {
        index.rank[i * column.size() + column[static_cast<std::size_t>(module)]] = rank;
      }
    }
    index.data_begin = results::library_data_begin();
    index.data_bytes = journal_.data_end();
    return index;
  }

  void finish() {
    results::finish_library(partial_path_, options_.output, make_index());
    partial_.sync();
    summary_.n_adapters = journal_.adapters().size();
    summary_.bytes = partial_.size();
    partial_.publish();
    journal_.remove();
  }

  const LibraryOptions& options_;
  Request request_;
  fs::path partial_path_;
  PartialFile partial_;
  PackJournal journal_;
  PackSummary summary_;
  std::uint64_t committed_ = 0;
  Stopwatch since_commit_;
};

void refuse_existing(const fs::path& file, const char* fix) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  throw InputError({file, {}}, {"exists already", "nothing is overwritten unasked", fix});
}

/// --write-manifest must not replace another file of this call, nor any file unasked.
void check_manifest_output(const LibraryOptions& options) {
  const fs::path& file = options.manifest_output;
  if (file.empty()) return;
  if (options.if_exists != LibraryOptions::IfExists::replace) {
    refuse_existing(file, options.if_exists == LibraryOptions::IfExists::append
                              ? "choose another name"
                              : "choose another name, or give --overwrite");
  }
  std::vector<fs::path> taken = options.inputs;
  taken.push_back(options.output);
  const auto place = [](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path)); };
  for (const fs::path& other : taken) {
    if (place(other) != place(file)) continue;
    throw UsageError(
        {fmt::format("--write-manifest is {}, another file of this call", file.string()),
         "one would replace the other", "choose another name"});
  }
}

}  // namespace

PackSummary pack(const LibraryOptions& options) {
  if (options.if_exists == LibraryOptions::IfExists::refuse) {
    refuse_existing(options.output, "choose another --output, or give --overwrite or --append");
  }
  check_manifest_output(options);
  Request request = read_request(options);
  const std::optional<eval::Manifest> manifest = request.manifest;
  if (!options.manifest_output.empty() && !manifest) {
    throw UsageError({"--write-manifest is given, but the input is no manifest",
                      "the tasks are not known", "give a manifest, or leave the option out"});
  }
  const PackSummary summary = Packer(options, std::move(request)).pack();
  if (!options.manifest_output.empty()) {
    OutputFile out(options.manifest_output);
    const std::string text = to_json(*manifest) + "\n";
    out.append(std::as_bytes(std::span(text)));
    out.commit();
  }
  return summary;
}

std::string verify_library(const fs::path& library) {
  const results::LibraryIndex index = results::read_library(library);
  const InputFile file(library);
  std::string first;
  std::size_t damaged = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < index.n_adapters(); ++i) {
    try {
      const results::LibraryRecord record{index.data_begin + index.begin[i], index.config_bytes[i],
                                          index.tensors_begin[i], index.tensors_bytes[i],
                                          index.checksum[i]};
      const lora::Adapter adapter =
          lora::read_adapter(results::read_record(file, index.name[i], record));
      if (lora::fingerprint(adapter.modules) != index.fingerprint[i]) {
        throw InputError({library, index.name[i]},
                         {"has another content than the index says", "", "pack it again"});
      }
      bytes += record.bytes();
    } catch (const Error& error) {
      if (damaged == 0) first = error.what();
      ++damaged;
    }
  }
  if (damaged > 0) {
    throw InputError({library, {}},
                     {fmt::format("{} of {} adapters are damaged", damaged, index.n_adapters()),
                      "the first: " + first, "restore the library, or pack it again"});
  }
  return fmt::format("{}: {} adapters, {:.1f} MiB, all checksums fit", library.string(),
                     index.n_adapters(), static_cast<double>(bytes) / (1 << 20));
}

}  // namespace d2c::tools
