#include <string>

#include <fmt/format.h>

#include "d2c/core/json.hpp"
#include "d2c/job/option_table.hpp"
#include "d2c/job/plan.hpp"

namespace d2c::job {
namespace {

std::string mib(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

/// In the unit that fits, with two figures.
std::string duration(double seconds) {
  if (seconds < 120) return fmt::format("{:.2g} s", seconds);
  if (seconds < 7200) return fmt::format("{:.2g} min", seconds / 60);
  return fmt::format("{:.2g} h", seconds / 3600);
}

}  // namespace

std::string to_json(const Plan& plan) {
  json::OrderedJson value;
  value["manifest"] = plan.manifest;
  value["model"] = plan.model;
  value["tasks"] = plan.n_tasks;
  value["tasks_with_held_out"] = plan.n_held_out;
  value["adapters"] = plan.n_adapters;
  value["adapter_rank"] = plan.adapter_rank;
  value["k"] = plan.k;
  value["ranks"] = plan.n_ranks;
  value["few_shot_tokens"] = plan.few_shot_tokens;
  value["few_shot_computed"] = plan.few_shot_computed;
  value["few_shot_targets"] = plan.few_shot_targets;
  value["held_out_computed"] = plan.held_out_computed;
  value["parameters"] = plan.parameters;
  value["evaluations_per_iteration"] = plan.evaluations_per_iteration;
  value["flop_per_iteration"] = plan.flop_per_iteration;
  value["refine_evaluations"] = plan.refine_evaluations;
  value["evaluation_seconds"] = plan.evaluation_seconds;
  value["refine_evaluation_seconds"] = plan.refine_evaluation_seconds;
  value["merge_seconds"] = plan.merge_seconds;
  value["search_evaluations"] = {plan.search_evaluations.least, plan.search_evaluations.most};
  value["other_evaluations"] = plan.other_evaluations;
  value["job_seconds"] = {plan.job_seconds.least, plan.job_seconds.most};
  value["compute"] = plan.compute == ops::Arithmetic::bf16 ? "bf16" : "f32";
  value["device"] = plan.device == eval::Device::cuda ? "cuda" : "cpu";
  value["options"] = json::OrderedJson::object();
  for (const auto& [name, text] : changed_options(plan.options)) value["options"][name] = text;
  value["imbalance"] = plan.imbalance;
  value["adapter_bytes"] = plan.all_adapter_bytes;
  value["bytes_per_node"] = {{"weights", plan.weight_bytes},
                             {"merged", plan.merged_bytes},
                             {"examples", plan.example_bytes}};
  value["bytes_per_rank"] = {
      {"exchange", plan.exchange_bytes},      {"packed_examples", plan.packed_bytes},
      {"activations", plan.activation_bytes}, {"adapter_in_use", plan.in_use_bytes},
      {"layer_inputs", plan.input_bytes},     {"merge", plan.merge_bytes},
      {"refinement", plan.refinement.bytes()}};
  value["refinement_bytes"] = {{"activations", plan.refinement.activation_bytes},
                               {"lessons", plan.refinement.lesson_bytes},
                               {"optimiser", plan.refinement.optimiser_bytes},
                               {"gradients", plan.refinement.gradient_bytes}};
  return value.dump(1);
}

std::string print_plan(const Plan& plan) {
  const double sharing =
      static_cast<double>(plan.few_shot_tokens) / static_cast<double>(plan.few_shot_computed);
  std::string text =
      fmt::format("Input is valid: {} tasks ({} with held-out examples), {} adapters, K = {}\n",
                  plan.n_tasks, plan.n_held_out, plan.n_adapters, plan.k);
  text += fmt::format(
      "tokens               {} in few-shot examples, {} scored, {} computed (prefixes shared "
      "{:.2f} times)\n",
      plan.few_shot_tokens, plan.few_shot_targets, plan.few_shot_computed, sharing);
  text += fmt::format("model                {} parameters per scored token\n", plan.parameters);
  text += fmt::format(
      "work per iteration   {} (task, merged adapter) forward passes at most, {:.3g} GFLOP\n",
      plan.evaluations_per_iteration, plan.flop_per_iteration * 1e-9);
  text += fmt::format("ranks                {} (imbalance {:.2f})\n", plan.n_ranks, plan.imbalance);
  text += fmt::format(
      "time per iteration   {:.2g} s of {} time, from one evaluation{}: {:.2g} s on these "
      "ranks\n",
      plan.evaluation_seconds * static_cast<double>(plan.evaluations_per_iteration),
      plan.device == eval::Device::cuda ? "GPU" : "processor",
      plan.compute == ops::Arithmetic::bf16 ? " in BF16 arithmetic" : "",
      plan.evaluation_seconds * static_cast<double>(plan.evaluations_per_iteration) *
          plan.imbalance / plan.n_ranks);
  if (plan.refine_evaluations > 0) {
    text += fmt::format(
        "refinement           takes as long as {} evaluations: {:.2g} s on these ranks\n",
        plan.refine_evaluations,
        plan.refine_evaluation_seconds * static_cast<double>(plan.refine_evaluations) *
            plan.imbalance / plan.n_ranks);
  }
  const auto from_to = [](const Span& span) {
    return span.least == span.most ? fmt::format("{:.0f}", span.most)
                                   : fmt::format("{:.0f} to {:.0f}", span.least, span.most);
  };
  text += fmt::format(
      "time of the job      {} to {} on these ranks and this machine: search {} with {} "
      "evaluations,\n"
      "                     {} merges of {:.2g} s with their exchange, {:.0f} evaluations of "
      "baselines and result{}\n",
      duration(plan.job_seconds.least), duration(plan.job_seconds.most), plan.options.search,
      from_to(plan.search_evaluations), from_to(plan.merges), plan.merge_seconds,
      plan.other_evaluations,
      plan.refine_evaluations > 0 ? fmt::format(", {} of refinement", plan.refine_evaluations)
                                  : "");
  text += fmt::format(
      "memory per node      {} = weights ({}) {} + merged adapters {} + examples {}; and its "
      "ranks\n",
      mib(plan.bytes_per_node()), plan.weights_are_bf16 ? "BF16" : "F32", mib(plan.weight_bytes),
      mib(plan.merged_bytes), mib(plan.example_bytes));
  text += fmt::format(
      "memory per rank      {} = adapters {} + exchange up to {} + packed examples up to {} + "
      "activations {} + adapter in use {}{}{}\n",
      mib(plan.bytes_per_rank()), mib(plan.adapter_bytes),
      mib(plan.n_ranks > 1 ? plan.exchange_bytes : 0), mib(plan.packed_bytes),
      mib(plan.activation_bytes), mib(plan.in_use_bytes),
      plan.input_bytes > 0
          ? fmt::format(" + layer inputs {}", mib(plan.input_bytes + plan.merge_bytes))
          : "",
      plan.refine_evaluations > 0 ? fmt::format(" + refinement {}", mib(plan.refinement.bytes()))
                                  : "");
  if (plan.refine_evaluations > 0) {
    text += fmt::format(
        "  refinement         {} = backward pass {} + optimiser {} + gradients up to {} + lessons "
        "{}\n",
        mib(plan.refinement.bytes()), mib(plan.refinement.activation_bytes),
        mib(plan.refinement.optimiser_bytes), mib(plan.refinement.gradient_bytes),
        mib(plan.refinement.lesson_bytes));
  }
  text += fmt::format("                     {}\n", plan.adapters_note);
  if (!plan.device_note.empty()) text += fmt::format("losses by            {}\n", plan.device_note);
  if (plan.input_bytes > 0) {
    text += fmt::format(
        "layer inputs         {} more forward passes, {} per rank; {} to merge a module, at most\n",
        plan.n_tasks, mib(plan.input_bytes), mib(plan.merge_bytes));
  }
  if (plan.imbalance > 1.1) {
    text +=
        "advice               fewer ranks would be used better: the evaluation of a task under one "
        "adapter is not divided between ranks\n";
  }
  return text;
}

}  // namespace d2c::job
