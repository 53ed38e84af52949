#include "d2c/job/compare_methods.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/folder_lock.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/merge/merge.hpp"

#include "output/record.hpp"
#include "session/method_comparison.hpp"
#include "session/session.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

constexpr const char* tables = "compare.h5";
constexpr const char* csv = "compare.csv";

RunOptions with_method(const RunOptions& job, const std::string& method) {
  RunOptions options = job;
  options.merge_method = method;
  if (method == medoid_method) return options;
  options.merge = merge::read_by(merge::find_method(method), options.merge);
  return options;
}

/// Some methods need members of equal ranks: better to say so before hours of work.
void check_ranks(const AdapterStore& adapters, const std::string& name) {
  if (name == medoid_method || merge::find_method(name).mixed_ranks) return;
  for (const ModuleId module : adapters.modules().ids()) {
    int rank = 0;
    for (const AdapterId adapter : adapters.ids()) {
      const int other = adapters.rank_of(adapter, module);
      if (rank != 0 && other != 0 && other != rank) {
        throw UsageError(
            {fmt::format("--methods has {}, which merges adapters of equal ranks only", name),
             fmt::format("{} has ranks {} and {}", adapters.modules()[module].name, rank, other),
             "leave it out"});
      }
      rank = std::max(rank, other);
    }
  }
}

/// Keeps the folder for this job, and refuses what cannot become one of its files. On rank 0.
void prepare(const RunOptions& job, std::optional<FolderLock>& lock) {
  make_folder(job.output);
  lock.emplace(job.output);
  remove_abandoned(job.output);
  expect_no_folder(job.output / tables);
  expect_place_for_text(job.output / csv);
  for (const char* name : {tables, csv}) {
    if (job.overwrite || !fs::exists(job.output / name)) continue;
    if (name == csv && lock->was_abandoned()) continue;  // it was killed between the two
    throw InputError({job.output / name, {}},
                     {"exists already", "results are not overwritten unasked",
                      "choose another --output or add --overwrite"});
  }
}

void check_input(const CompareOptions& options, const Job& input) {
  for (const std::string& method : options.methods) check_ranks(*input.adapters, method);
  for (const std::string& search : options.searches) {
    RunOptions one = options.job;
    one.search = search;
    check_search(one, input);
  }
  for (const int k : options.job.ks) {
    if (input.constraints.none()) continue;
    cluster::check_constraints(input.constraints, input.tasks->n_tasks(), k);
  }
}

results::Comparison empty_comparison(const CompareOptions& options, const Session& session) {
  results::Comparison out;
  out.provenance = session.provenance();
  const std::string compared =
      fmt::format("{} {} {} {}", fmt::join(options.searches, ","), fmt::join(options.methods, ","),
                  options.n_seeds, fmt::join(options.refined, ","));
  out.provenance.config_hash = Digest().update(out.provenance.config_hash).update(compared).text();
  out.tasks = task_table(session.input());
  out.skipped = session.input().skipped;
  out.objective_kind = cluster::objective_names.name(options.job.objective);
  for (int s = 0; s < options.n_seeds; ++s) {
    out.seed.push_back(static_cast<std::int64_t>(options.job.seed) + s);
  }
  return out;
}

void refuse_repeats(const std::string& option, std::vector<std::string> names) {
  if (names.empty()) throw UsageError({option + " is empty", "there is nothing to compare", ""});
  std::ranges::sort(names);
  const auto repeated = std::ranges::adjacent_find(names);
  if (repeated != names.end()) {
    throw UsageError({fmt::format("{} names {} twice", option, *repeated), "", "name each once"});
  }
}

}  // namespace

void validate(const CompareOptions& options) {
  refuse_repeats("--searches", options.searches);
  if (!options.refined.empty()) refuse_repeats("--refined", options.refined);
  for (const auto* names : {&options.searches, &options.refined}) {
    for (const std::string& search : *names) static_cast<void>(cluster::search_method(search));
  }
  for (const std::string& search : options.refined) {
    if (std::ranges::find(options.searches, search) != options.searches.end()) continue;
    throw UsageError({fmt::format("--refined has {}, which is none of --searches", search),
                      "only clusters that were searched can be refined", "add it to --searches"});
  }
  refuse_repeats("--methods", options.methods);
  if (options.n_seeds < 1) {
    throw UsageError({"--seeds must be at least 1", "it is the number of seeds to try", ""});
  }
  for (const std::string& search : options.searches) {
    if (search == "one" || search == "own") {
      throw UsageError({fmt::format("--searches has {}, a row of every comparison", search),
                        "it is no search but a baseline", "leave it out"});
    }
    RunOptions one = options.job;
    one.ks.clear();
    one.search = search;
    for (const std::string& method : options.methods) validate(with_method(one, method));
  }
}

std::optional<results::Comparison> compare_methods(comm::Communicator& comm,
                                                   const CompareOptions& options,
                                                   const RunContext& context) {
  const RunOptions& job = options.job;
  std::optional<FolderLock> lock;
  comm::agree(comm, [&] {
    validate(options);
    if (comm.is_root()) prepare(job, lock);
  });
  return unless_stopped([&] {
    Session session(comm, job, context, {.checkpoint = job.output / "compare.checkpoint.h5"});
    comm::agree(comm, [&] { check_input(options, session.input()); });
    results::Comparison out = empty_comparison(options, session);
    for (const std::string& method : options.methods) {
      MethodComparison comparison(session, options, with_method(job, method), out);
      if (method == options.methods.front()) comparison.add_references();
      comparison.run();
    }
    comm::agree(comm, [&] {
      if (!comm.is_root()) return;
      results::write_comparison(
          job.output / tables, job.output / csv, out,
          job.overwrite ? results::IfExists::replace : results::IfExists::refuse);
      session.finish();
    });
    return out;
  });
}

}  // namespace d2c::job
