#include "files/temporary_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c::results {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, std::string_view what, int error) {
  throw InputError({file, {}}, {std::string(what), std::strerror(error),
                                "free some space or write to another place"});
}

/// Flushes a file or a folder to the disk.
void sync_to_disk(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "cannot be opened again", errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems cannot flush folders; they say so with EINVAL.
  if (error != 0 && error != EINVAL) fail(path, "cannot be flushed to disk", error);
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& file)
    : file_(file), path_(file.string() + fmt::format(".{}.partial", ::getpid())) {}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  if (!kept_) std::filesystem::remove(path_, ignored);
}

void TemporaryFile::sync() const { sync_to_disk(path_); }

void TemporaryFile::publish() {
  if (std::rename(path_.c_str(), file_.c_str()) != 0) fail(file_, "cannot be written", errno);
  keep();
  const auto folder = file_.parent_path();
  sync_to_disk(folder.empty() ? "." : folder);
}

}  // namespace d2c::results
