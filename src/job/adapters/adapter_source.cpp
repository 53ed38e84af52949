#include "adapters/adapter_source.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "d2c/comm/node_file.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/recent_cache.hpp"
#include "d2c/results/library_record.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

class Folders final : public AdapterSource {
 public:
  Folders(std::vector<fs::path> folders, std::vector<double> bytes)
      : folders_(std::move(folders)), bytes_(std::move(bytes)) {}

  [[nodiscard]] int size() const override { return folders_.n(); }
  [[nodiscard]] std::string name(AdapterId adapter) const override {
    return folder(adapter).string();
  }
  [[nodiscard]] const std::vector<double>& bytes() const override { return bytes_; }
  [[nodiscard]] lora::AdapterFiles read(AdapterId adapter) const override {
    return lora::read_adapter_files(folder(adapter));
  }
  void read(AdapterId adapter, std::uint64_t begin, std::span<std::byte> target) const override {
    file(adapter)->read(begin, target);
  }

 private:
  [[nodiscard]] const fs::path& folder(AdapterId adapter) const { return folders_[adapter]; }

  /// The files in use last stay open: one request to the metadata server serves many reads.
  [[nodiscard]] std::shared_ptr<const InputFile> file(AdapterId adapter) const {
    if (auto open = open_.find(adapter)) return open;
    auto opened = std::make_shared<const InputFile>(folder(adapter) / "adapter_model.safetensors");
    open_.insert(adapter, opened, 1);
    return opened;
  }

  static constexpr std::uint64_t most_open = 256;  ///< of the 1024 that a process usually may open
  IdVector<AdapterId, fs::path> folders_;
  std::vector<double> bytes_;
  mutable RecentCache<AdapterId, InputFile> open_{most_open};
};

class Library final : public AdapterSource {
 public:
  Library(InputFile file, std::vector<std::string> names,
          std::vector<results::LibraryRecord> records)
      : file_(std::move(file)), names_(std::move(names)), records_(std::move(records)) {
    for (const results::LibraryRecord& record : records_) {
      bytes_.push_back(std::max(1.0, static_cast<double>(record.tensors_bytes)));
    }
  }

  [[nodiscard]] int size() const override { return names_.n(); }
  [[nodiscard]] std::string name(AdapterId adapter) const override { return names_[adapter]; }
  [[nodiscard]] const std::vector<double>& bytes() const override { return bytes_; }
  [[nodiscard]] lora::AdapterFiles read(AdapterId adapter) const override {
    return results::read_record(file_, name(adapter), record(adapter));
  }
  void read(AdapterId adapter, std::uint64_t begin, std::span<std::byte> target) const override {
    D2C_EXPECTS(begin + target.size() <= record(adapter).tensors_bytes);
    file_.read(record(adapter).begin + record(adapter).tensors_begin + begin, target);
  }

 private:
  [[nodiscard]] const results::LibraryRecord& record(AdapterId adapter) const {
    return records_[adapter];
  }

  InputFile file_;
  IdVector<AdapterId, std::string> names_;
  IdVector<AdapterId, results::LibraryRecord> records_;
  std::vector<double> bytes_;
};

}  // namespace

fs::path adapter_of(const eval::TaskSpec& task) {
  const fs::path normal = task.adapter.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

std::unique_ptr<AdapterSource> open_folders(comm::Communicator& comm,
                                            std::vector<fs::path> folders) {
  // A missing file counts as one byte: reading it will name it.
  std::vector<double> sizes(folders.size(), 0.0);
  for (auto i = static_cast<std::size_t>(comm.rank()); i < folders.size();
       i += static_cast<std::size_t>(comm.size())) {
    std::error_code error;
    const auto bytes = fs::file_size(folders[i] / "adapter_model.safetensors", error);
    sizes[i] = error ? 1.0 : std::max(1.0, static_cast<double>(bytes));
  }
  comm.sum(sizes);
  return std::make_unique<Folders>(std::move(folders), std::move(sizes));
}

std::unique_ptr<AdapterSource> open_library(comm::Communicator& comm, const fs::path& library,
                                            std::vector<std::string> names) {
  std::vector<results::LibraryRecord> records(names.size());
  comm::agree(comm, [&] {
    if (comm.is_root()) records = results::find_records(library, names);
  });
  const auto raw = std::as_bytes(std::span(records));
  const auto bytes = comm.broadcast({raw.begin(), raw.end()}, 0);
  if (!bytes.empty()) std::memcpy(records.data(), bytes.data(), bytes.size());

  const int descriptor = comm::open_once_per_host(comm, library);
  std::unique_ptr<AdapterSource> source;
  comm::agree(comm, [&] {
    if (descriptor < 0) {
      throw IoError({library},
                    {"cannot be opened", "it is needed as input", "check that every node sees it"},
                    system_reason(-descriptor));
    }
    source = std::make_unique<Library>(InputFile(library, descriptor), std::move(names),
                                       std::move(records));
  });
  return source;
}

}  // namespace d2c::job
