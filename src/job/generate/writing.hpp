#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/eval/loss_engine.hpp"
#include "d2c/eval/model_folder.hpp"

#include "generate/authors.hpp"

namespace d2c::job {

/// What of a model's text generation uses.
struct GenerationModel {
  const eval::ModelFolder& folder;
  eval::TextEncoding encoding;
  std::vector<std::int32_t> stops;  ///< tokens that end a text
};

/// The examples of a task that are answered.
[[nodiscard]] std::filesystem::path answered_file(const eval::TaskSpec& task, AnsweredSplit split);
/// The first of them.
[[nodiscard]] eval::ExampleFile answered_examples(const GenerateOptions& options,
                                                  const GenerationModel& model,
                                                  const eval::TaskSpec& task);

/// Text of a piece.
struct WrittenPiece {
  std::string lines = {};  ///< JSON, each with its line break
  std::int64_t n_texts = 0;
  std::int64_t n_tokens = 0;
};

/// Writes the answers of authors to the prompts of tasks. Adapters are read when they are wanted;
/// the one used last is kept.
class Writing {
 public:
  /// All arguments outlive this object.
  Writing(const GenerateOptions& options, const GenerationSource& source,
          const GenerationModel& model, eval::LossEngine& engine);

  /// @throws InputError if the adapter or the examples cannot be read
  [[nodiscard]] WrittenPiece operator()(const Piece& piece);
  /// Reads an adapter as it will be read. @throws InputError
  [[nodiscard]] lora::Adapter read(const std::string& adapter) const;

 private:
  [[nodiscard]] eval::AdapterHandle prepared(const Author& author);
  [[nodiscard]] std::string line(const Piece& piece, const eval::Example& example,
                                 const eval::ExampleText& text,
                                 std::vector<std::int32_t> answer) const;
  [[nodiscard]] std::string text_of(std::span<const std::int32_t> ids) const;

  const GenerateOptions& options_;
  const GenerationSource& source_;
  const GenerationModel& model_;
  eval::LossEngine& engine_;
  std::vector<lora::TargetModule> modules_;
  Author recent_;
  eval::AdapterHandle handle_;  ///< of the recent one
};

}  // namespace d2c::job
