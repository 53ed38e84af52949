#include "d2c/core/pending.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <random>
#include <set>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/input_file.hpp"

#include "files/owner.hpp"

namespace d2c {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& place, int error) {
  throw IoError({place}, WritableFile::Refusal{}.message, system_reason(error));
}

fs::path folder_of(const fs::path& place) {
  return place.has_parent_path() ? place.parent_path() : fs::path(".");
}

constexpr std::string_view partial_end = ".partial";

/// Removes the partial files in a folder that belong to dead processes.
/// @param name  of the place; empty = any
void remove_dead(const fs::path& folder, const std::string& name) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string other = entry->path().filename().string();
    const auto of = place_of_partial(other);
    if (!of || (!name.empty() && *of != name)) continue;
    std::string_view tag = std::string_view(other).substr(of->size() + 1);
    tag = tag.substr(0, tag.rfind('-'));
    std::error_code ignored;
    if (is_dead(tag)) fs::remove_all(entry->path(), ignored);
  }
}

/// The same for one place, the first time it is asked for.
void remove_dead_once(const fs::path& place) {
  static std::mutex mutex;
  static std::set<fs::path> cleared;
  {
    const std::scoped_lock lock(mutex);
    if (!cleared.insert(place).second) return;
  }
  remove_dead(folder_of(place), place.filename().string());
}

/// A name beside `place`.
fs::path partial_path(const fs::path& place) {
  remove_dead_once(place);
  std::random_device random;
  return place.string() + fmt::format(".{}-{:08x}{}", own_tag(), random(), partial_end);
}

/// Flushes the names in a folder. Some file systems cannot, and some folders may not be opened; the
/// contents are safe by then.
void sync_folder(const fs::path& folder, const fs::path& place) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0 && error != EINVAL && error != ENOTSUP) refuse(place, error);
}

/// Whether there is a pipe or a device. @throws InputError for what no text replaces
bool is_special(const fs::path& place) {
  expect_no_folder(place);
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(place, ignored);
  // /dev/stdout and the like are links to what this process was given.
  if (fs::is_symlink(status) && !place.lexically_normal().string().starts_with("/dev/")) {
    throw InputError({place}, {"is a symbolic link", "what is written would go elsewhere",
                               "name the file itself, or remove the link"});
  }
  return fs::exists(status) && !fs::is_regular_file(status);
}

}  // namespace

PendingFile::PendingFile(const fs::path& place)
    : file_(partial_path(place), O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND, {place}) {}

PendingFile::~PendingFile() {
  if (!kept_) ::unlink(path().c_str());
}

fs::path PendingFile::alias() const { return fmt::format("/proc/self/fd/{}", file_.descriptor()); }

void PendingFile::append(std::span<const std::byte> bytes) {
  file_.append(bytes);
  appended_ += bytes.size();
  checksum_ = crc32(bytes, checksum_);
}

void PendingFile::read_back() const {
  if (file_.size() > appended_) return;  // others wrote there, and check it themselves
  const InputFile file(alias());
  if (file.size() == appended_ && crc32(file, 0, file.size()) == checksum_) return;
  refuse_lost_write({place()}, "the file holds other bytes");
}

void PendingFile::sync() const {
  file_.sync();
  read_back();
}

void PendingFile::publish() {
  sync();
  file_.close();
  put_in_place(path(), place());
  keep();
}

PendingFolder::PendingFolder(const fs::path& place)
    : place_(place.has_filename() ? place : place.parent_path()), path_(partial_path(place_)) {
  make_folder(folder_of(place_));
  if (::mkdir(path_.c_str(), 0777) != 0) refuse(place_, errno);
}

PendingFolder::~PendingFolder() {
  std::error_code ignored;
  if (!kept_) fs::remove_all(path_, ignored);
}

void PendingFolder::publish() {
  sync_folder(path_, place_);
  put_in_place(path_, place_);
  keep();
}

void refuse_lost_write(Where where, const std::string& reason) {
  throw IoError(std::move(where),
                {"cannot be written", "what was written is not what can be read",
                 "check the disk, or write to another place"},
                reason);
}

std::optional<std::string_view> place_of_partial(std::string_view name) {
  if (!name.ends_with(partial_end)) return std::nullopt;
  name.remove_suffix(partial_end.size());
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos ||
      name.substr(dash + 1).find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  name = name.substr(0, dash);
  const std::size_t dot = name.rfind('.');  // a tag has none
  if (dot == 0 || dot == std::string_view::npos || !is_tag(name.substr(dot + 1))) {
    return std::nullopt;
  }
  return name.substr(0, dot);
}

void remove_abandoned(const fs::path& folder) { remove_dead(folder, {}); }

fs::path set_aside(const fs::path& partial) {
  fs::path kept = partial;
  kept.replace_extension(".kept");
  std::error_code error;
  fs::rename(partial, kept, error);
  return error ? partial : kept;
}

void expect_no_folder(const fs::path& place) {
  std::error_code ignored;
  if (!fs::is_directory(fs::symlink_status(place, ignored))) return;
  throw InputError(
      {place}, {"is a folder", "a file is to be written there", "move it, or name another place"});
}

void expect_place_for_text(const fs::path& place) {
  if (!is_special(place)) const PendingFile trial(place);
}

void write_text(const fs::path& place, std::string_view text) {
  if (is_special(place)) {
    WritableFile there(place, O_TRUNC, {place});
    there.append(std::as_bytes(std::span(text)));
    return there.close();
  }
  PendingFile file(place);
  file.append(text);
  file.publish();
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return;
  throw IoError({folder},
                {"cannot be made", "what is written needs a place",
                 "check the path and its permissions, or choose another place"},
                error.message());
}

void put_in_place(const fs::path& from, const fs::path& place) {
  if (std::rename(from.c_str(), place.c_str()) != 0) refuse(place, errno);
  sync_folder(folder_of(place), place);
}

}  // namespace d2c
