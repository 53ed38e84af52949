#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/job/run.hpp"

namespace d2c::job {

/// Which examples of a task are answered.
enum class AnsweredSplit {
  automatic,  ///< the test split where the task has one, else the few-shot examples
  few_shot,
  held_out,
};

/// What is to be generated.
struct GenerateOptions {
  /// Results of a job, or a manifest; empty = `model`, `adapter` and `examples` say all.
  std::filesystem::path source;
  std::filesystem::path model;
  std::filesystem::path adapter;   ///< PEFT folder or LIBRARY::NAME; empty = the base model alone
  std::filesystem::path examples;  ///< of the one task

  std::vector<std::string> adapters;  ///< of base, own, clusters; empty = all that there are
  AnsweredSplit split = AnsweredSplit::automatic;
  int most_examples = 0;  ///< of each task, the first ones; 0 = all
  Index most_tokens = 64;
  Index batch_tokens = 4096;  ///< of prompts and what follows them in one batch, at most
  bool with_ids = false;

  std::filesystem::path output;  ///< file; empty = predictions.jsonl in the folder of the results
  bool overwrite = false;

  RunOptions call;                 ///< those of this call that `d2c run` has, too
  std::vector<std::string> given;  ///< names of those that hold although the results say otherwise
};

/// What was generated.
struct GenerateReport {
  std::filesystem::path output;
  std::int64_t n_tasks = 0;
  std::vector<std::string> adapters;  ///< base, own, clusters: those that wrote
  std::int64_t n_texts = 0;
  std::int64_t n_tokens = 0;
  double seconds = 0.0;
};

/// Has the base model, the tasks' own adapters and the clusters' merged ones answer the prompts of
/// all tasks greedily, and writes a JSON line {"task", "adapter", "prompt", "prediction",
/// "reference"} for each. The file is the same for any number of ranks and threads. Collective.
/// @return  nothing if a signal stopped it: OUTPUT.unfinished holds what there is, and the same
///          call goes on
/// @throws as run()
[[nodiscard]] std::optional<GenerateReport> generate(comm::Communicator& comm,
                                                     const GenerateOptions& options,
                                                     const RunContext& context);

/// A few lines for people.
[[nodiscard]] std::string print_report(const GenerateReport& report);

}  // namespace d2c::job
