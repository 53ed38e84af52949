#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/tools/evaluate.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

struct EvaluateArguments {
  std::filesystem::path model;
  std::filesystem::path adapter;
  std::filesystem::path examples;
  bool per_token = false;
  std::string json;
};

std::vector<Option<EvaluateArguments>> evaluate_options() {
  using A = EvaluateArguments;
  return {
      {"model", option::path(&A::model), "Hugging Face model folder"},
      {"adapter", option::path(&A::adapter),
       "PEFT folder, or LIBRARY.h5::NAME; without it the base model"},
      {"examples", option::path(&A::examples),
       "JSONL of {\"prompt\", \"response\"} or {\"input_ids\", \"prompt_len\"}"},
      {"per-token", option::flag(&A::per_token),
       "print (and write) the loss of every counted token"},
      {"json", option::text(&A::json), "write the losses to this file; `-` = standard output"},
  };
}

void write_json(const std::string& target, const std::string& text) {
  if (target == "-") {
    fmt::print("{}\n", text);
  } else {
    write_text(target, text + "\n");
  }
}

void print_table(const tools::Evaluation& evaluation, bool per_token) {
  for (std::size_t e = 0; e < evaluation.example_mean.size(); ++e) {
    fmt::print("example {:>4}  {:>4} tokens  {:.6f}\n", e + 1, evaluation.nll[e].size(),
               evaluation.example_mean[e]);
    if (!per_token) continue;
    for (const double nll : evaluation.nll[e]) fmt::print("  {:.6f}\n", nll);
  }
  fmt::print("mean of {} examples: {:.6f} nats per token\n", evaluation.example_mean.size(),
             evaluation.mean);
}

}  // namespace

int evaluate_command(const Invocation& invocation) {
  EvaluateArguments arguments;
  job::RunOptions options = default_options();
  CommandLine line{
      .usage = "d2c evaluate --model DIR [--adapter DIR] --examples FILE.jsonl [options]",
      .description =
          "Teacher-forced loss (mean negative log likelihood, nats per token) of a base model, or "
          "of the\n"
          "model with one LoRA adapter, on a file of examples.",
      .required = {"model", "examples"}};
  line.add("Options", evaluate_options(), arguments);
  add_job_options(line, job::traits::evaluate, options, "Options");
  if (!parse(line, invocation)) return 0;
  const bool to_file = !arguments.json.empty() && arguments.json != "-";
  if (to_file) expect_place_for_text(arguments.json);
  warn_of_threads(options.threads);
  const tools::Evaluation evaluation = tools::evaluate(
      arguments.model, arguments.adapter, arguments.examples, options.loss_on, options.batch_tokens,
      options.weights,
      {.device = options.device, .threads = options.threads, .compute = options.compute},
      options.chat_date);
  for (const std::string& warning : evaluation.warnings)
    fmt::print(stderr, "warning: {}\n", readable(warning));

  if (!arguments.json.empty()) {
    write_json(arguments.json, tools::to_json(evaluation, arguments.per_token));
  }
  if (arguments.json != "-") {
    if (!arguments.adapter.empty()) {
      fmt::print("adapter applied to {} of {} modules\n", evaluation.modules_applied,
                 evaluation.modules);
    }
    print_table(evaluation, arguments.per_token);
  }
  return 0;
}

}  // namespace d2c::cli
