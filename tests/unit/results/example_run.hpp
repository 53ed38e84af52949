#pragma once

#include <limits>
#include <vector>

#include "d2c/core/pending.hpp"
#include "d2c/results/run_results.hpp"
#include "d2c/results/writer.hpp"

namespace d2c::results::test {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// A run of 3 tasks in 2 clusters in which every field of the schema is set, with values that all
/// differ. check_with_h5py.py expects exactly these.
inline RunResults example_run() {
  RunResults run;
  run.provenance = {.software = "d2c",
                    .version = "0.1.0",
                    .git_commit = "0123abc",
                    .created_utc = "2025-01-31T12:00:00Z",
                    .mpi_ranks = 4,
                    .threads = 2,
                    .seed = 0xFFFFFFFFFFFFFFFF,
                    .command_line = "d2c run tasks.json -k 2",
                    .config = R"({"clusters": 2, "task": "Grüße"})",
                    .config_hash = "89abcdef"};
  run.tasks = {.name = {"alpha", "Straßenschild", "日本"},
               .adapter = {"adapters/a", "adapters/b", "adapters/c"},
               .n_examples = {10, 11, 12},
               .n_tokens = {1'000'000'000'000, 200, 300},
               .weight = {1.0, 0.5, 2.0}};
  run.n_clusters = 2;
  run.objective_kind = "loss";
  run.merge_method = "average";
  run.iterations = {.restart = {0, 0, 1},
                    .assignment = {0, 0, 1, 0, 1, 1, 1, 0, 0},
                    .loss = {1.5, nan, 1.25, nan, nan, 2.5,    //
                             1.5, 1.75, 1.25, 1.0, 2.0, 2.25,  //
                             0.1, 0.2, 0.3, 0.4, 0.5, 0.6},
                    .objective = {1.9, 1.7, 1.8},
                    .seconds = {0.5, 0.25, 0.125},
                    .moved = {3, 1, 0}};
  run.restarts = {.objective = {1.7, 1.8},
                  .iterations = {2, 1},
                  .evaluations = {9, 4},
                  .stop_reason = {"converged", "cycle"}};
  run.result = {.assignment = {0, 1, 1},
                .loss = {1.5, 1.75, 1.25, 1.0, 2.0, 2.25},
                .objective = 1.7,
                .size = {1, 2},
                .gain = {0.75, 0.5, nan},
                .regret = {0.01, 0.02, 0.03}};
  run.baselines = {{"base", {3.0, 2.0, 2.5}},
                   {"own", {1.0, 0.5, 2.75}},
                   {"one", {1.6, 1.1, 2.4}},
                   {"random", {1.8, 1.2, nan}}};
  run.verify = Unseen{.n_examples = {2, 3, 4},
                      .n_tokens = {20, 30, 40},
                      .loss = {1.45, 1.85, 1.35, 1.15, 2.15, 2.35},
                      .objective = 1.73,
                      .gain = {0.65, 0.45, nan},
                      .regret = {0.06, 0.07, 0.08},
                      .baselines = {{"base", {3.2, 2.2, 2.6}}, {"own", {1.2, 0.7, 2.8}}}};
  run.heldout = Unseen{.n_examples = {5, 6, 0},
                       .n_tokens = {50, 60, 0},
                       .loss = {1.55, 1.8, 1.3, 1.05, nan, nan},
                       .objective = 1.77,
                       .gain = {0.7, 0.4, nan},
                       .regret = {0.04, 0.05, nan},
                       .baselines = {{"base", {3.1, 2.1, nan}}, {"own", {1.1, 0.6, nan}}}};
  run.timing = {.phase = {"load", "evaluate"},
                .min = {1.0, 10.0},
                .mean = {1.5, 12.0},
                .max = {2.0, 15.0},
                .imbalance = {2.0 / 1.5, 1.25},
                .host = {"node1", "node2"},
                .seconds = {1.0, 15.0, 2.0, 10.0}};
  run.evaluations = {
      .evaluated = 13, .cached = 5, .merges = 7, .tokens = 12'345, .tokens_unshared = 54'321};
  run.curve = {
      .evaluations = {6, 9, 13}, .objective = {1.9, 1.7, 1.7}, .seconds = {0.5, 0.75, 1.0}};
  run.skipped = {.task = {"broken"}, .adapter = {"adapters/broken"}, .reason = {"is damaged"}};
  run.sweep = {.k = {1, 2},
               .objective = {2.1, 1.7},
               .gain = {0.4, 0.6},
               .verify_objective = {2.15, 1.73},
               .heldout_objective = {2.2, 1.77},
               .heldout_gain = {0.35, 0.55},
               .evaluations = {3, 10},
               .assignment = {0, 0, 0, 0, 1, 1},
               .knee = 2};
  run.recipe = {.method = {"average", "lego"}, .scale = {1.25, 1.5}, .weight = {1.0, 0.3, 0.7}};
  run.refine = {.step = {"start", "scale"},
                .objective = {1.75, 1.7},
                .gain = {0.55, 0.6},
                .verify_objective = {1.76, 1.73},
                .heldout_objective = {1.79, 1.77},
                .heldout_gain = {0.5, 0.55},
                .changed = {0, 2},
                .evaluations = {3, 24}};
  run.distill = {.n_steps = 3, .loss = {2.0, 1.5, 1.25, 1.0, 0.75, nan}};
  return run;
}

/// Puts the file in its place, as jobs do.
inline void publish(ResultsWriter& writer, const RunResults& results,
                    const std::filesystem::path& file) {
  writer.complete(results);
  put_in_place(writer.release(), file);
}

/// A file without merged factors.
inline void write_results(const std::filesystem::path& file, const RunResults& results) {
  ResultsWriter writer(file);
  publish(writer, results, file);
}

/// Merged LoRA factors of one module.
struct MergedFactors {
  std::int64_t rank = 0;
  std::int64_t d_in = 0;
  std::int64_t d_out = 0;
  std::vector<float> a;  ///< A [rank, d_in]
  std::vector<float> b;  ///< B [d_out, rank]
};

/// Factors of two modules of two clusters, of different shapes.
inline std::vector<std::pair<int, std::string>> example_modules() {
  return {{0, "model.layers.0.q_proj"}, {0, "model.layers.0.v_proj"}, {1, "model.layers.0.q_proj"}};
}

inline MergedFactors example_factors(int cluster, const std::string& module) {
  MergedFactors factors;
  factors.rank = 2;
  factors.d_in = 3;
  factors.d_out = module.ends_with("v_proj") ? 1 : 4;
  for (int i = 0; i < 6; ++i) factors.a.push_back(static_cast<float>(100 * cluster + i));
  for (int i = 0; i < 2 * factors.d_out; ++i) factors.b.push_back(0.5F * static_cast<float>(i));
  return factors;
}

/// The whole example with merged factors.
inline void write_example(const std::filesystem::path& file) {
  ResultsWriter writer(file);
  for (const auto& [cluster, module] : example_modules()) {
    const MergedFactors factors = example_factors(cluster, module);
    writer.add_merged(cluster, module, {factors.rank, factors.d_in, factors.a},
                      {factors.d_out, factors.rank, factors.b});
  }
  publish(writer, example_run(), file);
}

}  // namespace d2c::results::test
