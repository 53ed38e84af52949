#include "d2c/job/generate.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/comm/work_queues.hpp"
#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/core/wire.hpp"

#include "engine/rank_device.hpp"
#include "engine/round_length.hpp"
#include "generate/authors.hpp"
#include "generate/predictions_file.hpp"
#include "generate/writing.hpp"
#include "input/shared_model.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// Where the predictions go.
fs::path output_of(const GenerateOptions& options) {
  if (!options.output.empty()) return options.output;
  if (options.source.empty() || !is_result(options.source)) {
    throw UsageError({"--output is missing", "it names the file for the predictions",
                      "add `--output predictions.jsonl`"});
  }
  const bool is_folder = fs::is_directory(options.source);
  return (is_folder ? options.source : options.source.parent_path()) / "predictions.jsonl";
}

/// Rank 0 reads which tokens end a text. Collective.
std::vector<std::int32_t> shared_stops(comm::Communicator& comm, const eval::ModelFolder& folder) {
  json::Json stops;
  comm::agree(comm, [&] {
    if (comm.is_root()) stops = eval::stop_tokens(folder);
  });
  return json::Json::parse(comm::broadcast_text(comm, stops.dump(), 0));
}

/// What every rank knows of the prompts of a task.
struct Prompts {
  std::vector<double> cost;          ///< [task] tokens, with those that may follow
  std::vector<std::int64_t> digest;  ///< [task] of the file
};

/// Reads the examples of all tasks once, so that bad ones are known before work begins. Collective.
Prompts check_prompts(comm::Communicator& comm, const GenerateOptions& options,
                      const GenerationSource& source, const GenerationModel& model,
                      const RunContext& context) {
  const std::vector<eval::TaskSpec>& tasks = source.manifest.tasks;
  Prompts prompts{std::vector(tasks.size(), 0.0), std::vector<std::int64_t>(tasks.size(), 0)};
  std::string warnings;
  comm::agree(comm, [&] {
    if (!model.folder.tokenizer && !options.with_ids) {
      throw InputError({model.folder.path / "tokenizer.json", {}},
                       {"is not there", "predictions are text", "add it, or give --ids"});
    }
    const auto n_ranks = static_cast<std::size_t>(comm.size());
    for (auto t = static_cast<std::size_t>(comm.rank()); t < tasks.size(); t += n_ranks) {
      const eval::ExampleFile file = answered_examples(options, model, tasks[t]);
      for (const std::string& warning : file.warnings) warnings += readable(warning) + "\n";
      prompts.digest[t] = static_cast<std::int64_t>(file.digest);
      for (const eval::Example& example : file.examples) {
        prompts.cost[t] += static_cast<double>(example.prompt_len + options.most_tokens);
      }
    }
  });
  comm.sum(prompts.cost);
  comm.sum(prompts.digest);
  for (const std::string& line : comm::gather_lines(comm, warnings)) {
    if (comm.is_root() && context.log) context.log("warning: " + line);
  }
  return prompts;
}

/// Size and time of change of an adapter's file.
void add_adapter(const Author& author, Digest& digest) {
  digest.update(author.name).update(author.adapter);
  const std::string& place = author.adapter;
  const fs::path file = fs::is_directory(place) ? fs::path(place) / "adapter_model.safetensors"
                                                : fs::path(place.substr(0, place.rfind("::")));
  std::error_code error;
  digest.update(static_cast<std::uint64_t>(fs::file_size(file, error)));
  digest.update(
      static_cast<std::uint64_t>(fs::last_write_time(file, error).time_since_epoch().count()));
}

/// What decides the texts.
results::Identity identity_of(const GenerateOptions& options, const GenerationSource& source,
                              const Prompts& prompts, const SharedModel& model) {
  results::Identity identity = model.content;
  identity["--max-new-tokens"] = std::to_string(options.most_tokens);
  identity["--examples-per-task"] = std::to_string(options.most_examples);
  identity["--ids"] = options.with_ids ? "given" : "not given";
  identity["--chat-date"] = source.options.chat_date;
  identity["--weights"] = model.folder.model.format() == ops::WeightFormat::bf16 ? "bf16" : "f32";
  identity["--compute"] = source.options.compute == ops::Arithmetic::bf16 ? "bf16" : "f32";
  identity["tasks and adapters"] = [&] {
    Digest digest;
    for (const Piece& piece : source.pieces) {
      digest.update(source.manifest.tasks[piece.task.index()].name);
      add_adapter(piece.author, digest);
    }
    return digest.text();
  }();
  Digest examples;
  for (const std::int64_t digest : prompts.digest) {
    examples.update(static_cast<std::uint64_t>(digest));
  }
  identity["examples"] = examples.text();
  return identity;
}

/// Writes pieces on all ranks, round by round: after each the lines are with rank 0.
class Rounds {
 public:
  Rounds(comm::Communicator& comm, const GenerationSource& source, Writing& writing,
         int ranks_per_node)
      : comm_(comm),
        source_(source),
        writing_(writing),
        queues_(comm, ranks_per_node, comm::Balance::dynamic) {}

  /// Collective. @param pieces  the same on every rank
  /// @param costs  of the pieces
  /// @param file   null but on rank 0
  void write(std::span<const std::size_t> pieces, std::span<const double> costs,
             PredictionsFile* file, GenerateReport& report) {
    std::vector<std::byte> own;
    std::array<std::int64_t, 2> counts{0, 0};
    queues_.open(comm::cut(costs, comm_.size()));
    while (const auto next = queues_.next()) {
      const std::size_t piece = pieces[*next];
      const WrittenPiece written = writing_(source_.pieces[piece]);
      append_wire(own, std::span(&piece, 1));
      append_list(own, written.lines);
      counts[0] += written.n_texts;
      counts[1] += written.n_tokens;
    }
    queues_.close();
    comm_.sum(counts);
    report.n_texts += counts[0];
    report.n_tokens += counts[1];
    for (const auto& bytes : comm_.all_gather(own)) {
      std::span<const std::byte> rest = bytes;
      while (file != nullptr && !rest.empty()) {
        std::size_t piece = 0;
        std::string lines;
        take_wire(rest, std::span(&piece, 1));
        take_list(rest, lines);
        file->add(piece, std::move(lines));
      }
    }
  }

 private:
  comm::Communicator& comm_;
  const GenerationSource& source_;
  Writing& writing_;
  comm::WorkQueues queues_;
};

/// Pieces that are not yet written, those of one adapter together. Collective.
std::vector<std::size_t> missing_pieces(comm::Communicator& comm, const GenerationSource& source,
                                        PredictionsFile* file) {
  std::vector<std::int64_t> is_done(source.pieces.size(), 0);
  comm::agree(comm, [&] {
    if (file == nullptr) return;
    for (const std::size_t piece : file->resume()) is_done.at(piece) = 1;
  });
  comm.sum(std::span(is_done));
  std::vector<std::size_t> missing;
  for (std::size_t piece = 0; piece < is_done.size(); ++piece) {
    if (is_done[piece] == 0) missing.push_back(piece);
  }
  std::ranges::stable_sort(missing, {}, [&](std::size_t piece) -> const std::string& {
    return source.pieces[piece].author.name;
  });
  return missing;
}

/// Reads the adapters of all pieces once, so that bad ones are known before work begins; next to
/// the texts that each of them writes this takes no time. Collective.
void check_adapters(comm::Communicator& comm, const GenerationSource& source,
                    std::span<const std::size_t> pieces, const Writing& writing) {
  std::set<std::string> distinct;
  for (const std::size_t piece : pieces) distinct.insert(source.pieces[piece].author.adapter);
  distinct.erase("");  // the base model
  const std::vector<std::string> adapters(distinct.begin(), distinct.end());
  comm::agree(comm, [&] {
    const auto n_ranks = static_cast<std::size_t>(comm.size());
    for (auto i = static_cast<std::size_t>(comm.rank()); i < adapters.size(); i += n_ranks) {
      static_cast<void>(writing.read(adapters[i]));
    }
  });
}

}  // namespace

std::optional<GenerateReport> generate(comm::Communicator& comm, const GenerateOptions& options,
                                       const RunContext& context) {
  const Stopwatch watch;
  GenerateReport report;
  comm::agree(comm, [&] { report.output = output_of(options); });
  const GenerationSource source = find_source(comm, options);
  const RunOptions& run = source.options;
  const SharedModel shared = load_shared_model(comm, source.manifest.model,
                                               {run.weights, run.compute}, run.ranks_per_node);
  const eval::EngineChoice choice{.threads = run.threads, .compute = run.compute};
  const GenerationModel model{shared.folder, shared.folder.encoding(run.chat_date),
                              shared_stops(comm, shared.folder)};
  const Prompts prompts = check_prompts(comm, options, source, model, context);
  std::unique_ptr<PredictionsFile> file;
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    file = std::make_unique<PredictionsFile>(report.output, options.overwrite,
                                             identity_of(options, source, prompts, shared),
                                             source.pieces.size());
  });
  std::vector<std::size_t> missing = missing_pieces(comm, source, file.get());
  const auto engine = made_engine(comm, context, model.folder.model, choice);
  Writing writing(options, source, model, *engine);
  check_adapters(comm, source, missing, writing);
  Rounds rounds(comm, source, writing, run.ranks_per_node);
  Progress& progress = context.progress == nullptr ? Progress::silent() : *context.progress;
  progress.begin("writing texts", "(task, adapter) pairs", std::ssize(missing));
  std::vector<double> costs;
  costs.reserve(missing.size());
  for (const std::size_t piece : missing) {
    costs.push_back(prompts.cost[source.pieces[piece].task.index()]);
  }
  constexpr double longest_round = 20.0;  // seconds
  RoundLength length(comm.size(), longest_round);
  for (std::size_t begin = 0; begin < missing.size();) {
    std::array<double, 1> vote{context.stop_requested && context.stop_requested() ? 1.0 : 0.0};
    comm.maximum(vote);
    if (vote[0] > 0) {
      comm::agree(comm, [&] {
        if (file != nullptr) file->save();
      });
      return std::nullopt;
    }
    const std::span<const double> left = std::span(costs).subspan(begin);
    const std::size_t n = length.round(comm, left, [&](std::size_t now) {
      rounds.write(std::span(missing).subspan(begin, now), left.first(now), file.get(), report);
    });
    begin += n;
    progress.advance(static_cast<std::int64_t>(n));
  }
  comm::agree(comm, [&] {
    if (file != nullptr) file->publish();
  });
  report.n_tasks = std::ssize(source.manifest.tasks);
  report.adapters = source.adapters;
  report.seconds = watch.seconds();
  return report;
}

std::string print_report(const GenerateReport& report) {
  return fmt::format("{} text{} of {} task{} by {}: {} tokens in {:.1f} s\n", report.n_texts,
                     report.n_texts == 1 ? "" : "s", report.n_tasks, report.n_tasks == 1 ? "" : "s",
                     fmt::join(report.adapters, ", "), report.n_tokens, report.seconds);
}

}  // namespace d2c::job
