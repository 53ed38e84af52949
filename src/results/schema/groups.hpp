#pragma once

#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "d2c/results/run_results.hpp"

#include "schema/meaning.hpp"

/// The groups of schema 1, for visit_schema.
namespace d2c::results::detail {

inline const Meaning task_meaning = {"name of the task", "", ""};
inline const std::string nats = "nats per token";
inline const std::string not_evaluated = "NaN: not evaluated";
inline const std::string gain_undefined =
    "(base - loss) / (base - own); NaN: own adapter does not help, or not evaluated";
inline const std::string regret_meaning =
    "loss under the merged adapter of its cluster minus loss under its own adapter";

inline std::string baseline_meaning(const std::string& name) {
  if (name == "base") return "loss under the base model without adapter";
  if (name == "own") return "loss under the task's own adapter";
  if (name == "one") return "loss under one merge of all adapters";
  return "loss under baseline '" + name + "'";
}

template <class Archive, class Baselines>
void visit_baselines(Archive& archive, const std::string& group, const TaskTable& tasks,
                     Baselines& baselines) {
  archive.names(group, baselines);
  if (baselines.empty()) return;
  archive.local_scale("task", group + "/task", tasks.name, task_meaning);
  for (auto& [name, loss] : baselines) {
    archive.array(fmt::format("{}/{}", group, name), {"task"}, loss,
                  {baseline_meaning(name), nats, not_evaluated}, Presence::required);
  }
}

/// Examples that the search did not see.
struct UnseenMeaning {
  std::string on;  ///< "test split"
  std::string none;
  std::string objective_units;
};

template <class Archive, class Unseen>
void visit_unseen(Archive& archive, const std::string& group, const UnseenMeaning& meaning,
                  const TaskTable& tasks, Unseen& figures) {
  const std::string& on = meaning.on;
  archive.local_scale("task", group + "/task", tasks.name, task_meaning);
  archive.array(group + "/n_examples", {"task"}, figures.n_examples,
                {"number of examples of the " + on, "1", ""}, Presence::optional);
  archive.array(group + "/n_tokens", {"task"}, figures.n_tokens,
                {"number of tokens of the " + on + " whose loss is measured", "1", ""},
                Presence::optional);
  archive.array(
      group + "/loss", {"task", "cluster"}, figures.loss,
      {"loss on the " + on + " under the merged adapter of the cluster", nats, meaning.none},
      Presence::required);
  archive.scalar(group + "/objective", figures.objective,
                 {"objective of the partition on the " + on, meaning.objective_units, ""});
  archive.array(
      group + "/gain", {"task"}, figures.gain,
      {"gain on the " + on + " under the merged adapter of its cluster", "1", gain_undefined},
      Presence::optional);
  archive.array(group + "/regret", {"task"}, figures.regret,
                {regret_meaning + ", on the " + on, nats, meaning.none}, Presence::optional);
  visit_baselines(archive, group + "/baseline", tasks, figures.baselines);
}

template <class Archive, class Results>
void visit_provenance(Archive& archive, Results& results) {
  auto& provenance = results.provenance;
  archive.attribute("software", provenance.software);
  archive.attribute("version", provenance.version);
  archive.attribute("git_commit", provenance.git_commit);
  archive.attribute("created_utc", provenance.created_utc);
  archive.attribute("mpi_ranks", provenance.mpi_ranks);
  archive.attribute("threads", provenance.threads);
  archive.attribute("seed", provenance.seed);
  archive.attribute("command_line", provenance.command_line);
  archive.attribute("config", provenance.config);
  archive.attribute("config_hash", provenance.config_hash);
  archive.attribute("objective_kind", results.objective_kind);
  archive.attribute("merge_method", results.merge_method);
}

template <class Archive, class Results>
void visit_tasks(Archive& archive, Results& results) {
  auto& tasks = results.tasks;
  archive.scale("task", "task/name", tasks.name, task_meaning);
  archive.array("task/adapter", {"task"}, tasks.adapter, {"path of the task's adapter", "", ""},
                Presence::required);
  archive.array("task/n_examples", {"task"}, tasks.n_examples,
                {"number of few-shot examples", "1", ""}, Presence::required);
  archive.array("task/n_tokens", {"task"}, tasks.n_tokens,
                {"number of tokens whose loss is measured", "1", ""}, Presence::required);
  archive.array("task/weight", {"task"}, tasks.weight, {"weight in the objective", "1", ""},
                Presence::required);
}

template <class Archive, class Results>
void visit_iterations(Archive& archive, Results& results, const std::string& objective_units) {
  auto& iterations = results.iterations;
  auto n_iterations = static_cast<std::int64_t>(iterations.objective.size());
  if (archive.optional_group("iteration", n_iterations > 0)) {
    archive.index("iteration", "iteration/iteration", n_iterations,
                  {"step of the search, in the order made", "1", "0-based"});
    archive.local_scale("task", "iteration/task", results.tasks.name, task_meaning);
    archive.array("iteration/restart", {"iteration"}, iterations.restart,
                  {"restart that the iteration belongs to", "1", "0-based"}, Presence::optional);
    archive.array("iteration/assignment", {"iteration", "task"}, iterations.assignment,
                  {"cluster of the task", "1", "0-based"}, Presence::optional);
    archive.array("iteration/loss", {"iteration", "task", "cluster"}, iterations.loss,
                  {"loss of the task under the merged adapter of the cluster", nats, not_evaluated},
                  Presence::optional);
    archive.array("iteration/objective", {"iteration"}, iterations.objective,
                  {"objective of the partition", objective_units, ""}, Presence::required);
    archive.array("iteration/seconds", {"iteration"}, iterations.seconds,
                  {"wall time of the iteration", "s", ""}, Presence::optional);
    archive.array("iteration/moved", {"iteration"}, iterations.moved,
                  {"number of tasks whose cluster differs from the iteration before", "1", ""},
                  Presence::optional);
  }
}

template <class Archive, class Results>
void visit_restarts(Archive& archive, Results& results, const std::string& objective_units) {
  auto& restarts = results.restarts;
  auto n_restarts = static_cast<std::int64_t>(restarts.objective.size());
  if (archive.optional_group("restart", n_restarts > 0)) {
    archive.index("restart", "restart/restart", n_restarts,
                  {"restart of the search", "1", "0-based"});
    archive.array("restart/objective", {"restart"}, restarts.objective,
                  {"best objective of the restart", objective_units, ""}, Presence::required);
    archive.array("restart/iterations", {"restart"}, restarts.iterations,
                  {"number of iterations", "1", ""}, Presence::optional);
    archive.array("restart/evaluations", {"restart"}, restarts.evaluations,
                  {"losses (task, merged adapter) that no earlier restart needed", "1", ""},
                  Presence::optional);
    archive.array("restart/stop_reason", {"restart"}, restarts.stop_reason,
                  {"why the restart ended", "", ""}, Presence::optional);
  }
}

template <class Archive, class Results>
void visit_result(Archive& archive, Results& results, const std::string& objective_units) {
  auto& result = results.result;
  archive.local_scale("task", "result/task", results.tasks.name, task_meaning);
  archive.array("result/assignment", {"task"}, result.assignment,
                {"cluster of the task", "1", "0-based"}, Presence::required);
  archive.array("result/loss", {"task", "cluster"}, result.loss,
                {"loss of the task under the merged adapter of the cluster", nats, not_evaluated},
                Presence::required);
  archive.scalar("result/objective", result.objective,
                 {"objective of the partition", objective_units, ""});
  archive.array("result/size", {"cluster"}, result.size,
                {"number of tasks in the cluster", "1", ""}, Presence::required);
  archive.array("result/gain", {"task"}, result.gain,
                {"gain under the merged adapter of its cluster, 1 = as good as its own adapter",
                 "1", gain_undefined},
                Presence::optional);
  archive.array("result/regret", {"task"}, result.regret, {regret_meaning, nats, not_evaluated},
                Presence::optional);
}

template <class Archive, class Results>
void visit_unseen(Archive& archive, Results& results, const std::string& objective_units) {
  if (archive.optional_group("verify", results.verify)) {
    visit_unseen(archive, "verify",
                 {"examples kept from the search", "NaN: no such examples, or not evaluated",
                  objective_units},
                 results.tasks, *results.verify);
  }
  if (archive.optional_group("heldout", results.heldout)) {
    visit_unseen(
        archive, "heldout",
        {"test split", "NaN: the task has no test split, or not evaluated", objective_units},
        results.tasks, *results.heldout);
  }
}

template <class Archive, class Skipped>
void visit_skipped(Archive& archive, Skipped& skipped) {
  if (archive.optional_group("skipped", !skipped.task.empty())) {
    archive.scale("skipped", "skipped/task", skipped.task,
                  {"name of a task that was left out", "", ""});
    archive.array("skipped/adapter", {"skipped"}, skipped.adapter, {"its adapter", "", ""},
                  Presence::required);
    archive.array("skipped/reason", {"skipped"}, skipped.reason,
                  {"why the adapter cannot be used", "", ""}, Presence::required);
  }
}

template <class Archive, class Results>
void visit_timing(Archive& archive, Results& results) {
  auto& timing = results.timing;
  if (archive.optional_group("timing", !timing.phase.empty())) {
    archive.scale("phase", "timing/phase", timing.phase, {"phase of the run", "", ""});
    archive.array("timing/min", {"phase"}, timing.min, {"wall time, least of all ranks", "s", ""},
                  Presence::required);
    archive.array("timing/mean", {"phase"}, timing.mean, {"wall time, mean over ranks", "s", ""},
                  Presence::required);
    archive.array("timing/max", {"phase"}, timing.max, {"wall time, most of all ranks", "s", ""},
                  Presence::required);
    archive.array("timing/imbalance", {"phase"}, timing.imbalance,
                  {"max / mean of the wall time, 1 = balanced", "1", ""}, Presence::required);
    archive.scale("mpi_rank", "timing/host", timing.host, {"host that the rank ran on", "", ""});
    archive.array("timing/seconds", {"mpi_rank", "phase"}, timing.seconds,
                  {"wall time of the rank", "s", ""}, Presence::required);
  }
}

template <class Archive, class Results>
void visit_evaluations(Archive& archive, Results& results) {
  auto& evaluations = results.evaluations;
  archive.scalar("evaluation/evaluated", evaluations.evaluated,
                 {"evaluations (task, merged adapter) computed by the model", "1", ""});
  archive.scalar("evaluation/cached", evaluations.cached,
                 {"evaluations answered by the cache", "1", ""});
  archive.scalar("evaluation/merges", evaluations.merges, {"number of merges", "1", ""});
  archive.scalar("evaluation/tokens", evaluations.tokens,
                 {"tokens passed through the model", "1", ""});
  archive.scalar("evaluation/tokens_unshared", evaluations.tokens_unshared,
                 {"tokens without sharing of common prefixes", "1", ""});
}

template <class Archive, class Results>
void visit_curve(Archive& archive, Results& results, const std::string& objective_units) {
  auto& curve = results.curve;
  if (archive.optional_group("curve", !curve.evaluations.empty())) {
    archive.scale("evaluations", "curve/evaluations", curve.evaluations,
                  {"evaluations (task, merged adapter) computed so far", "1", ""});
    archive.array("curve/objective", {"evaluations"}, curve.objective,
                  {"best objective so far", objective_units, ""}, Presence::required);
    archive.array("curve/seconds", {"evaluations"}, curve.seconds,
                  {"wall time since the start of the search", "s", ""}, Presence::optional);
  }
}

template <class Archive, class Results>
void visit_sweep(Archive& archive, Results& results, const std::string& objective_units) {
  auto& sweep = results.sweep;
  if (archive.optional_group("sweep", !sweep.k.empty())) {
    archive.scale("k", "sweep/k", sweep.k, {"number of clusters", "1", ""});
    archive.local_scale("task", "sweep/task", results.tasks.name, task_meaning);
    archive.array("sweep/objective", {"k"}, sweep.objective,
                  {"objective of the best partition", objective_units, ""}, Presence::required);
    archive.array("sweep/gain", {"k"}, sweep.gain, {"mean gain", "1", gain_undefined},
                  Presence::optional);
    archive.array("sweep/verify_objective", {"k"}, sweep.verify_objective,
                  {"objective on the examples kept from the search", objective_units, ""},
                  Presence::optional);
    archive.array("sweep/heldout_objective", {"k"}, sweep.heldout_objective,
                  {"objective on the test split", objective_units, ""}, Presence::optional);
    archive.array("sweep/heldout_gain", {"k"}, sweep.heldout_gain,
                  {"mean gain on the test split", "1", gain_undefined}, Presence::optional);
    archive.array(
        "sweep/evaluations", {"k"}, sweep.evaluations,
        {"evaluations (task, merged adapter) that no other k had asked for before", "1", ""},
        Presence::optional);
    archive.array("sweep/assignment", {"k", "task"}, sweep.assignment,
                  {"cluster of the task", "1", "0-based"}, Presence::required);
    archive.scalar("sweep/knee", sweep.knee,
                   {"number of clusters at the bend of the curve", "1", ""});
  }
}

template <class Archive, class Results>
void visit_recipe(Archive& archive, Results& results) {
  auto& recipe = results.recipe;
  if (archive.optional_group("recipe", !recipe.method.empty())) {
    archive.local_scale("task", "recipe/task", results.tasks.name, task_meaning);
    archive.array("recipe/method", {"cluster"}, recipe.method,
                  {"how the members were merged", "", "empty: no members"}, Presence::required);
    archive.array("recipe/scale", {"cluster"}, recipe.scale,
                  {"factor on the merged update", "1", "NaN: no members"}, Presence::required);
    archive.array("recipe/weight", {"task"}, recipe.weight,
                  {"weight of the task's adapter in its cluster", "1", ""}, Presence::required);
  }
}

template <class Archive, class Results>
void visit_refine(Archive& archive, Results& results, const std::string& objective_units) {
  auto& refine = results.refine;
  if (archive.optional_group("refine", !refine.step.empty())) {
    archive.scale("step", "refine/step", refine.step, {"start or distill", "", ""});
    archive.array("refine/objective", {"step"}, refine.objective,
                  {"objective after the step", objective_units, ""}, Presence::required);
    archive.array("refine/gain", {"step"}, refine.gain,
                  {"mean gain after the step", "1", gain_undefined}, Presence::optional);
    archive.array(
        "refine/verify_objective", {"step"}, refine.verify_objective,
        {"objective after the step on the examples kept from the search", objective_units, ""},
        Presence::optional);
    archive.array("refine/heldout_objective", {"step"}, refine.heldout_objective,
                  {"objective after the step on the test split", objective_units, ""},
                  Presence::optional);
    archive.array("refine/heldout_gain", {"step"}, refine.heldout_gain,
                  {"mean gain after the step on the test split", "1", gain_undefined},
                  Presence::optional);
    archive.array("refine/changed", {"step"}, refine.changed,
                  {"number of clusters that took their distilled adapter", "1", ""},
                  Presence::required);
    archive.array("refine/evaluations", {"step"}, refine.evaluations,
                  {"evaluations (task, merged adapter) that the step costs", "1",
                   "three for the gradient of one"},
                  Presence::required);
  }
}

template <class Archive, class Results>
void visit_distill(Archive& archive, Results& results) {
  auto& distill = results.distill;
  if (archive.optional_group("distill", distill.n_steps > 0)) {
    archive.index("distill_step", "distill/step", distill.n_steps,
                  {"step of the distillation", "1", "0-based"});
    archive.array("distill/loss", {"cluster", "distill_step"}, distill.loss,
                  {"before the step: weighted mean over the tasks of the cluster of the "
                   "cross-entropy against the predictions of their own adapters",
                   nats, "NaN: no such step"},
                  Presence::required);
  }
}

}  // namespace d2c::results::detail
