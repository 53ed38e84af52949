#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/tools/evaluate.hpp"

#include "choice.hpp"
#include "commands/commands.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c evaluate --model DIR [--adapter DIR] --examples FILE.jsonl [options]";
  line.description =
      "Teacher-forced loss (mean negative log likelihood, nats per token) of a base model, or of "
      "the\n"
      "model with one LoRA adapter, on a file of examples.";
  po::options_description options("Options", kHelpWidth);
  // clang-format off
  options.add_options()
      ("model", po::value<std::string>()->required(), "Hugging Face model folder")
      ("adapter", po::value<std::string>()->default_value(""), "PEFT folder, or LIBRARY.h5::NAME; without it the base model")
      ("examples", po::value<std::string>()->required(),
       "JSONL of {\"prompt\", \"response\"} or {\"input_ids\", \"prompt_len\"}")
      ("loss-on", po::value<std::string>()->default_value("response"),
       "tokens that count: response or all")
      ("per-token", po::bool_switch(), "print (and write) the loss of every counted token")
      ("json", po::value<std::string>(), "write the losses to this file; `-` = standard output")
      ("threads", po::value<int>()->default_value(default_threads()), "")
      ("weights", po::value<std::string>()->default_value("auto"), kWeightsHelp)
      ("compute", po::value<std::string>()->default_value("f32"), kComputeHelp)
      ("batch-tokens", po::value<Index>()->default_value(2048), "tokens per forward pass at most")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(options);
  return line;
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
  const CommandLine line = command_line();
  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    fmt::print("{}", line.help());
    return 0;
  }
  if (values["threads"].as<int>() < 1 || values["batch-tokens"].as<Index>() < 1) {
    throw UsageError({"--threads and --batch-tokens must be at least 1", "", ""});
  }
  warn_of_threads(values["threads"].as<int>());
  const auto loss_on = choice<eval::LossOn>(
      values, "loss-on", {{"response", eval::LossOn::response}, {"all", eval::LossOn::all}});
  const tools::Evaluation evaluation = tools::evaluate(
      values["model"].as<std::string>(), values["adapter"].as<std::string>(),
      values["examples"].as<std::string>(), loss_on, values["batch-tokens"].as<Index>(),
      precision(values), values["threads"].as<int>());
  for (const std::string& warning : evaluation.warnings)
    fmt::print(stderr, "warning: {}\n", warning);

  const bool per_token = values["per-token"].as<bool>();
  const std::string json = values.count("json") != 0 ? values["json"].as<std::string>() : "";
  if (!json.empty()) write_json(json, tools::to_json(evaluation, per_token));
  if (json != "-") {
    if (!values["adapter"].as<std::string>().empty()) {
      fmt::print("adapter applied to {} of {} modules\n", evaluation.modules_applied,
                 evaluation.modules);
    }
    print_table(evaluation, per_token);
  }
  return 0;
}

}  // namespace d2c::cli
