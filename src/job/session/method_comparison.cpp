#include "session/method_comparison.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"

#include "output/figures.hpp"
#include "session/distill_clusters.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

void append(std::vector<double>& all, const std::vector<double>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

}  // namespace

MethodComparison::MethodComparison(Session& session, const CompareOptions& options,
                                   const RunOptions& method, results::Comparison& out)
    : session_(session), options_(options), losses_(session, method), out_(out) {
  losses_.measure_held_out();
}

void MethodComparison::add_references() {
  for (const char* name : {"base", "own"}) add("", name, 0, {baseline(name)});
}

void MethodComparison::run() {
  const RunOptions& job = losses_.options();
  add(job.merge_method, "one", 1, {baseline("one")});
  for (const int k : job.ks.empty() ? std::vector<int>{job.k} : job.ks) {
    for (const std::string& search : options_.searches) search_all_seeds(search, k);
  }
}

MethodComparison::Outcome MethodComparison::baseline(const std::string& name) const {
  PartLosses losses{losses_.chosen().at(name), {}, {}};
  if (losses_.keeps_examples()) losses.kept = losses_.kept().at(name);
  if (!losses_.held_out().empty()) losses.held_out = losses_.held_out().at(name);
  return {.losses = std::move(losses)};
}

void MethodComparison::search_all_seeds(const std::string& name, int k) {
  const std::string& method = losses_.options().merge_method;
  const bool refines = std::ranges::find(options_.refined, name) != options_.refined.end();
  std::vector<Outcome> outcomes;
  std::vector<Outcome> refined;
  for (int s = 0; s < options_.n_seeds; ++s) {
    const Stopwatch watch;
    session_.progress().begin(fmt::format("{} {} K = {} seed {}", method, name, k,
                                          losses_.options().seed + static_cast<std::uint64_t>(s)),
                              "evaluations");
    // By itself a search knows nothing: what others measured counts again, but is not measured.
    cluster::CachedOracle cache(losses_.oracle(), losses_.folds());
    cache.restore(known_);
    RunOptions options = losses_.options();
    options.search = name;
    options.k = k;
    options.seed += static_cast<std::uint64_t>(s);
    cluster::SearchOptions how = search_options(options, session_.input());
    how.matrix = cluster::ResultMatrix::members;
    const cluster::SearchResult found =
        cluster::search_method(name).run(session_.problem(cache, losses_.objective()), how);
    Outcome& outcome = outcomes.emplace_back();
    outcome.evaluations = found.counts.evaluations;
    outcome.measured = found.counts.measured();
    outcome.seconds = watch.seconds();
    outcome.losses = losses_.on_all_parts(configs_of(found.partition));
    known_ = cache.save();
    session_.say(fmt::format("{} {} K = {} seed {}: objective {:.4f}, {} evaluations, {} measured",
                             method, name, k, options.seed, found.objective, outcome.evaluations,
                             outcome.measured));
    if (refines) refined.push_back(this->refined(found.partition, outcome));
  }
  add(method, name, k, outcomes);
  if (refines) add(method, name + " refined", k, refined);
}

MethodComparison::Outcome MethodComparison::refined(const cluster::Partition& partition,
                                                    const Outcome& found_as) {
  const Stopwatch watch;
  // Searches often find the same partition.
  const auto [place, fresh] = refined_of_.try_emplace(partition.assignment());
  Outcome& refined = place->second;
  if (fresh) {
    const Distillation distillation =
        distill_clusters(losses_, configs_of(partition), [this] { return session_.check(); });
    refined.evaluations = distillation.evaluations;
    refined.losses = losses_.on_all_parts(distillation.configs);
    losses_.oracle().drop_trained();
  }
  Outcome outcome = refined;
  outcome.evaluations += found_as.evaluations;
  outcome.measured = found_as.measured + (fresh ? refined.evaluations : 0);
  outcome.seconds = found_as.seconds + watch.seconds();
  return outcome;
}

void MethodComparison::add(const std::string& method, const std::string& search, int k,
                           const std::vector<Outcome>& outcomes) {
  out_.method.push_back(method);
  out_.search.push_back(search);
  out_.k.push_back(k);
  for (int s = 0; s < options_.n_seeds; ++s) {
    const Outcome& outcome = outcomes[std::min(static_cast<std::size_t>(s), outcomes.size() - 1)];
    append_worth(losses_, outcome.losses, out_);
    out_.evaluations.push_back(outcome.evaluations);
    out_.measured.push_back(outcome.measured);
    out_.seconds.push_back(outcome.seconds);
    append(out_.loss, outcome.losses.chosen);
    append(out_.heldout_loss, outcome.losses.held_out);
  }
}

}  // namespace d2c::job
