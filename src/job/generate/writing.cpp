#include "generate/writing.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/json.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library_record.hpp"

namespace d2c::job {

namespace fs = std::filesystem;

fs::path answered_file(const eval::TaskSpec& task, AnsweredSplit split) {
  switch (split) {
    case AnsweredSplit::automatic:
      return task.test.empty() ? task.examples : task.test;
    case AnsweredSplit::few_shot:
      return task.examples;
    case AnsweredSplit::held_out:
      break;
  }
  if (!task.test.empty()) return task.test;
  throw InputError({}, {fmt::format("task '{}' has no test examples", task.name),
                        "--split test answers those", "leave --split out, or add them"});
}

eval::ExampleFile answered_examples(const GenerateOptions& options, const GenerationModel& model,
                                    const eval::TaskSpec& task) {
  const fs::path path = answered_file(task, options.split);
  eval::ExampleFile file = eval::read_examples(path, model.encoding, model.folder.limits());
  const auto most = static_cast<std::size_t>(options.most_examples);
  if (most > 0 && file.examples.size() > most) {
    file.examples.resize(most);
    file.texts.resize(most);
  }
  return file;
}

Writing::Writing(const GenerateOptions& options, const GenerationSource& source,
                 const GenerationModel& model, eval::LossEngine& engine)
    : options_(options),
      source_(source),
      model_(model),
      engine_(engine),
      modules_(model.folder.model.target_modules()) {}

eval::AdapterHandle Writing::prepared(const Author& author) {
  if (author.name == "base") return nullptr;
  if (handle_ != nullptr && recent_ == author) return handle_;
  handle_.reset();
  handle_ = engine_.prepare(read(author.adapter).modules);
  recent_ = author;
  return handle_;
}

lora::Adapter Writing::read(const std::string& adapter) const {
  return lora::read_adapter(results::read_adapter_at(adapter), modules_, model_.folder.path);
}

WrittenPiece Writing::operator()(const Piece& piece) {
  const eval::ExampleFile file =
      answered_examples(options_, model_, source_.manifest.tasks[piece.task.index()]);
  const std::vector<eval::Batch> batches =
      eval::pack_prompts(file.examples, options_.most_tokens, options_.batch_tokens,
                         model_.folder.model.config().short_until());
  auto answers = eval::answers_of(engine_, prepared(piece.author), batches,
                                  {options_.most_tokens, model_.stops});
  WrittenPiece written{.n_texts = std::ssize(file.examples)};
  for (std::size_t i = 0; i < answers.size(); ++i) {
    written.n_tokens += std::ssize(answers[i]);
    written.lines += line(piece, file.examples[i], file.texts[i], std::move(answers[i]));
  }
  return written;
}

std::string Writing::text_of(std::span<const std::int32_t> ids) const {
  if (!model_.folder.tokenizer) return fmt::format("{}", fmt::join(ids, " "));
  return model_.folder.tokenizer->decode(ids, /*skip_special=*/true);
}

std::string Writing::line(const Piece& piece, const eval::Example& example,
                          const eval::ExampleText& text, std::vector<std::int32_t> answer) const {
  const auto is_stop = [&](std::int32_t id) {
    return std::ranges::find(model_.stops, id) != model_.stops.end();
  };
  const auto without_stop = [&](std::span<const std::int32_t> ids) {
    return !ids.empty() && is_stop(ids.back()) ? ids.first(ids.size() - 1) : ids;
  };
  const std::span ids(example.ids);
  const auto prompt = ids.first(static_cast<std::size_t>(example.prompt_len));
  const auto response = ids.subspan(static_cast<std::size_t>(example.prompt_len));
  json::OrderedJson value{
      {"task", source_.manifest.tasks[piece.task.index()].name},
      {"adapter", piece.author.name},
      {"prompt", text.prompt.empty() ? text_of(prompt) : text.prompt},
      {"prediction", text_of(without_stop(answer))},
      {"reference", text.response.empty() ? text_of(without_stop(response)) : text.response}};
  if (options_.with_ids) {
    value["prompt_ids"] = std::vector(prompt.begin(), prompt.end());
    value["prediction_ids"] = std::move(answer);
  }
  constexpr int one_line = -1;
  return value.dump(one_line, ' ', false, json::OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace d2c::job
