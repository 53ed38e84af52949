#include "d2c/tools/pack.hpp"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"

#include "pack/packer.hpp"
#include "pack/request.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;

void refuse_existing(const fs::path& file, const char* fix) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  throw InputError({file, {}}, {"exists already", "nothing is overwritten unasked", fix});
}

/// --write-manifest must not replace another file of this call, nor any file unasked.
void check_manifest_output(const LibraryOptions& options) {
  const fs::path& file = options.manifest_output;
  if (file.empty()) return;
  expect_place_for_text(file);
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
  expect_no_folder(options.output);
  check_manifest_output(options);
  PackRequest request = read_request(options);
  const std::optional<eval::Manifest> manifest = request.manifest;
  if (!options.manifest_output.empty() && !manifest) {
    throw UsageError({"--write-manifest is given, but the input is no manifest",
                      "the tasks are not known", "give a manifest, or leave the option out"});
  }
  const PackSummary summary = Packer(options, std::move(request)).pack();
  if (!options.manifest_output.empty()) {
    write_text(options.manifest_output, to_json(*manifest) + "\n");
  }
  return summary;
}

}  // namespace d2c::tools
