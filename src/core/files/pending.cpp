#include "d2c/core/pending.hpp"

#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace d2c {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& place, int error) {
  throw IoError({place}, WritableFile::Refusal{}.message, system_reason(error));
}

fs::path folder_of(const fs::path& place) {
  return place.has_parent_path() ? place.parent_path() : fs::path(".");
}

/// A name beside `place`.
fs::path partial_path(const fs::path& place) {
  std::random_device random;
  return place.string() + fmt::format(".{:08x}{:08x}.partial", random(), random());
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

}  // namespace

PendingFile::PendingFile(const fs::path& place)
    : file_(partial_path(place), O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND, {place}) {}

PendingFile::~PendingFile() {
  if (!kept_) ::unlink(path().c_str());
}

void PendingFile::publish() {
  file_.sync();
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

void write_text(const fs::path& place, std::string_view text) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(place, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
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
