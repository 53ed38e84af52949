#include "pack/partial_library.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;

fs::path partial_of(const fs::path& output) { return output.string() + ".partial"; }
fs::path journal_of(const fs::path& partial) { return partial.string() + ".journal"; }

/// The place of the partial file.
fs::path checked_partial(const fs::path& output) {
  fs::path partial = partial_of(output);
  std::error_code ignored;
  if (fs::exists(partial, ignored) && !fs::is_empty(partial, ignored) &&
      !fs::exists(journal_of(partial), ignored)) {
    throw InputError({partial}, {"exists, but is not of an earlier call (it has no journal)",
                                 "the library is made there; nothing is overwritten unasked",
                                 "move it, or choose another --output"});
  }
  return partial;
}

}  // namespace

PartialLibrary::PartialLibrary(const fs::path& output)
    : file_(checked_partial(output), O_CREAT | O_NOFOLLOW,
            {output,
             {"cannot be written",
              fmt::format("what is packed stays in {}", partial_of(output).string()),
              "free some space; the same command goes on"}}) {
  // Some file systems have no locks; there the user must take care.
  if (::flock(file_.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw InputError({file_.path()},
                     {"is being written by another process", "two would write over each other",
                      "wait until it has ended"});
  }
}

fs::path PartialLibrary::journal() const { return journal_of(file_.path()); }

void PartialLibrary::publish() {
  file_.sync();
  put_in_place(file_.path(), file_.shown_as());
  file_.close();
}

}  // namespace d2c::tools
