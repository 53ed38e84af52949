#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/job/generate.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "stoppable_job.hpp"

namespace d2c::cli {
namespace {

constexpr auto splits = enum_names<job::AnsweredSplit>({
    {job::AnsweredSplit::automatic, "auto"},
    {job::AnsweredSplit::few_shot, "examples"},
    {job::AnsweredSplit::held_out, "test"},
});

/// base, own, clusters: some, separated by commas.
OptionValue<job::GenerateOptions> adapters() {
  using O = job::GenerateOptions;
  return {OptionKind::text,
          [](const O& options) { return fmt::format("{}", fmt::join(options.adapters, ",")); },
          [](O& options, std::string_view text) -> std::optional<Message> {
            options.adapters.clear();
            std::istringstream list{std::string(text)};
            for (std::string name; std::getline(list, name, ',');) {
              if (name != "base" && name != "own" && name != "clusters") {
                return Message{fmt::format("does not take '{}'", name), "",
                               "give some of base,own,clusters"};
              }
              options.adapters.push_back(name);
            }
            return std::nullopt;
          }};
}

std::vector<Option<job::GenerateOptions>> input_options() {
  using O = job::GenerateOptions;
  return {
      {"source", option::path(&O::source), "result or manifest"},
      {"model", option::path(&O::model), "instead of RESULT: Hugging Face model folder"},
      {"adapter", option::path(&O::adapter),
       "with --model: PEFT folder, or LIBRARY.h5::NAME; without it the base model writes alone"},
      {"examples", option::path(&O::examples), "with --model: JSONL of examples"},
  };
}

std::vector<Option<job::GenerateOptions>> text_options() {
  using O = job::GenerateOptions;
  return {
      {"adapters", adapters(),
       "who writes, separated by commas: base (the model alone), own (each task's adapter), "
       "clusters (the merged adapter of each task's cluster); without it all that there are",
       "NAMES"},
      {"split", option::words(&O::split, splits),
       "what is answered: test (held-out examples), examples (few-shot), or auto (test where a "
       "task "
       "has them)"},
      {"examples-per-task", option::number(&O::most_examples, at_least(0)),
       "the first so many of each task; 0 = all"},
      {"max-new-tokens", option::number(&O::most_tokens, at_least(1)),
       "tokens that a text has at most; it ends earlier with the model's end token"},
      {"ids", option::flag(&O::with_ids), "write token ids as well: prompt_ids, prediction_ids"},
  };
}

std::vector<Option<job::GenerateOptions>> output_options() {
  using O = job::GenerateOptions;
  return {
      {"output", option::path(&O::output),
       "file for the predictions, JSON lines; predictions.jsonl beside the results"},
      {"overwrite", option::flag(&O::overwrite), "replace that file"},
  };
}

void check_generate(const job::GenerateOptions& options) {
  if (options.model.empty() == options.source.empty()) {
    throw UsageError(
        {options.model.empty() ? "no RESULT is given" : "RESULT and --model are given",
         "either says which adapters write",
         "write `d2c generate RESULT`, or `d2c generate --model DIR --examples FILE`"});
  }
  if (!options.model.empty() && options.examples.empty()) {
    throw UsageError({"--examples is missing", "it holds the prompts", "add `--examples FILE`"});
  }
  if (options.model.empty() && (!options.adapter.empty() || !options.examples.empty())) {
    throw UsageError(
        {options.adapter.empty() ? "--examples goes with --model" : "--adapter goes with --model",
         "RESULT names examples and adapters", "leave it out"});
  }
}

}  // namespace

int generate_command(const Invocation& invocation) {
  job::GenerateOptions options;
  options.call = default_options();
  JobVoice voice;
  CommandLine line{
      .usage = "d2c generate RESULT [--output FILE] [options]",
      .description =
          "Answers the prompts of all tasks of RESULT (a folder that `d2c run` wrote, its "
          "results.h5, "
          "or a\n"
          "manifest) by greedy generation: with the base model, with each task's own adapter and "
          "with the\n"
          "merged adapter of its cluster. Or those of one file, with --model. Under mpirun or srun "
          "the ranks\n"
          "share the work; the texts are the same for any number of ranks.\n\n"
          "Writes JSON lines {\"task\", \"adapter\", \"prompt\", \"prediction\", \"reference\"}, "
          "which\n"
          "scripts/score.py scores. --weights, --compute and --chat-date are those of RESULT "
          "unless "
          "they are\n"
          "given.",
      .positional = "source",
      .has_config = true};
  line.add("Input", input_options(), options);
  line.add("Texts", text_options(), options);
  line.add("Output", output_options(), options);
  add_job_options(line, job::traits::generate, options.call);
  using O = job::GenerateOptions;
  line.add(
      "Machine",
      Option<O>{"batch-tokens", option::number(&O::batch_tokens, at_least(1)),
                "tokens of prompts and answers in one batch at most; bounds the memory of keys "
                "and values"},
      options);
  line.add("Output", voice_options(), voice);
  if (!parse(line, invocation)) return 0;
  check_generate(options);
  options.given = line.given;
  voice.made_what = "Predictions";
  const bool beside = options.output.empty();
  voice.state = beside ? "predictions.jsonl.unfinished beside the results"
                       : options.output.string() + ".unfinished";
  voice.made_where = beside ? "predictions.jsonl beside the results" : options.output.string();
  return run_stoppable(
      invocation, options.call.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::generate(comm, options, context);
      },
      job::print_report);
}

}  // namespace d2c::cli
