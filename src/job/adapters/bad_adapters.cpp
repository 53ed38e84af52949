#include "adapters/bad_adapters.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/results/library.hpp"

#include "adapters/adapter_source.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// Path or name of an adapter, to what is wrong with it.
using Reasons = std::map<std::string, std::string>;

/// Names that the library does not have.
Reasons absent_names(const eval::Manifest& manifest, const std::set<std::string>& adapters) {
  const results::LibraryIndex index = results::read_library(manifest.library);
  const std::set<std::string> known(index.name.begin(), index.name.end());
  Reasons reasons;
  for (const std::string& adapter : adapters) {
    if (!known.contains(adapter)) reasons[adapter] = "is not an adapter of the library";
  }
  return reasons;
}

/// What all ranks together have found.
Reasons shared(comm::Communicator& comm, const Reasons& own) {
  const std::string text =
      json::Json(own).dump(-1, ' ', false, json::Json::error_handler_t::replace);
  Reasons all;
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(text)))) {
    const auto* begin = reinterpret_cast<const char*>(bytes.data());
    all.merge(json::Json::parse(begin, begin + bytes.size()).get<Reasons>());
  }
  return all;
}

/// Of the adapters that this rank reads.
Reasons own_reasons(const comm::Communicator& comm, const AdapterSource& source,
                    std::span<const lora::TargetModule> modules, const fs::path& model) {
  Reasons reasons;
  for (int number = comm.rank(); number < source.size(); number += comm.size()) {
    const AdapterId adapter(number);
    try {
      static_cast<void>(lora::read_adapter(source.read(adapter), modules, model));
    } catch (const Error& error) {
      reasons[source.name(adapter)] = error.what();
    }
  }
  return reasons;
}

Reasons find_bad(comm::Communicator& comm, const eval::Manifest& manifest,
                 std::span<const lora::TargetModule> modules) {
  std::set<std::string> adapters;
  for (const eval::TaskSpec& task : manifest.tasks) adapters.insert(adapter_of(task).string());
  Reasons bad;
  std::unique_ptr<AdapterSource> source;
  if (manifest.library.empty()) {
    source = open_folders(comm, {adapters.begin(), adapters.end()});
  } else {
    comm::agree(comm, [&] {
      if (comm.is_root()) bad = absent_names(manifest, adapters);
    });
    bad = shared(comm, bad);
    for (const auto& [name, reason] : bad) adapters.erase(name);
    source = open_library(comm, manifest.library, {adapters.begin(), adapters.end()});
  }
  Reasons own;
  comm::agree(comm, [&] { own = own_reasons(comm, *source, modules, manifest.model); });
  bad.merge(shared(comm, own));
  return bad;
}

}  // namespace

results::SkippedTable leave_out_bad_adapters(comm::Communicator& comm, eval::Manifest& manifest,
                                             std::span<const lora::TargetModule> modules) {
  const Reasons bad = find_bad(comm, manifest, modules);
  results::SkippedTable skipped;
  std::vector<eval::TaskSpec> left;
  for (eval::TaskSpec& task : manifest.tasks) {
    const auto reason = bad.find(adapter_of(task).string());
    if (reason == bad.end()) {
      left.push_back(std::move(task));
      continue;
    }
    skipped.task.push_back(task.name);
    skipped.adapter.push_back(reason->first);
    skipped.reason.push_back(reason->second);
  }
  comm::agree(comm, [&] {
    if (!left.empty()) return;
    throw InputError({}, {fmt::format("none of the {} tasks has an adapter that can be used",
                                      skipped.task.size()),
                          skipped.reason.front(), "repair the adapters"});
  });
  manifest.tasks = std::move(left);
  return skipped;
}

}  // namespace d2c::job
