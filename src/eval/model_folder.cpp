#include "d2c/eval/model_folder.hpp"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::eval {
namespace {

namespace fs = std::filesystem;

/// `eos_token` of tokenizer_config.json: a text, or an added token with `content`.
std::optional<std::int32_t> eos_of_tokenizer(const fs::path& folder,
                                             const text::Tokenizer& tokenizer) {
  const fs::path file = folder / "tokenizer_config.json";
  if (!KnownFiles::exists(file)) return std::nullopt;
  const json::Json config = json::read_file(file);
  if (!config.is_object() || !config.contains("eos_token")) return std::nullopt;
  const json::Json& token = config["eos_token"];
  if (token.is_string()) return tokenizer.id_of(token.get<std::string>());
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return tokenizer.id_of(token["content"].get<std::string>());
  }
  return std::nullopt;
}

/// Weights in the memory of a node.
class NodeStorage final : public model::WeightStorage {
 public:
  explicit NodeStorage(std::unique_ptr<comm::NodeMemory> memory) : memory_(std::move(memory)) {}
  std::span<std::byte> allocate(std::size_t bytes) override {
    D2C_EXPECTS(bytes <= memory_->bytes().size());
    return memory_->bytes().first(bytes);
  }
  [[nodiscard]] bool should_fill() const override { return memory_->is_writer(); }
  void publish() { memory_->publish(); }

 private:
  std::unique_ptr<comm::NodeMemory> memory_;
};

void check_is_folder(const fs::path& folder) {
  if (fs::is_directory(folder)) return;
  throw InputError({folder, {}},
                   {"is not a folder", "the base model is read from a Hugging Face folder",
                    "give the folder with config.json and model.safetensors"});
}

using ModelTexts = KnownFiles::Texts;

/// Rank 0 reads the small files of a model folder for all ranks. Collective.
ModelTexts share_texts(comm::Communicator& comm, const fs::path& folder) {
  ModelTexts texts;
  for (const char* name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    std::string text;
    std::string exists;
    comm::agree(comm, [&] {
      if (!comm.is_root()) return;
      check_is_folder(folder);
      if (!fs::exists(folder / name)) return;
      exists = "yes";
      text = json::read_text(folder / name);
    });
    exists = comm::broadcast_text(comm, exists, 0);
    text = comm::broadcast_text(comm, text, 0);
    std::optional<std::string>& known = texts[folder / name];
    if (!exists.empty()) known = std::move(text);
  }
  return texts;
}

ModelFolder with_tokenizer(model::Model model, const fs::path& folder) {
  ModelFolder result{std::move(model), std::nullopt, std::nullopt, folder};
  if (KnownFiles::exists(folder / "tokenizer.json")) {
    result.tokenizer.emplace(text::Tokenizer::load(folder / "tokenizer.json"));
  }
  if (result.tokenizer) result.eos = eos_of_tokenizer(folder, *result.tokenizer);
  if (!result.eos) result.eos = result.model.config().eos_token_id;
  return result;
}

}  // namespace

eval::TokenLimits ModelFolder::limits() const {
  return {static_cast<std::int32_t>(model.config().vocab_size), model.config().max_positions};
}

ModelFolder load_model_folder(const fs::path& folder, model::Precision precision) {
  model::check_processor(precision.compute);
  check_is_folder(folder);
  return with_tokenizer(model::Model(folder, model::weight_format(folder, precision),
                                     std::make_shared<model::HeapStorage>(), precision.compute),
                        folder);
}

ModelFolder load_model_folder(comm::Communicator& comm, const fs::path& folder,
                              model::Precision precision, int ranks_per_node) {
  comm::agree(comm, [&] { model::check_processor(precision.compute); });
  auto known = std::make_unique<KnownFiles>(share_texts(comm, folder));
  // One rank looks at the headers of the weights.
  double is_bf16 = 0.0;
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    is_bf16 = model::weight_format(folder, precision) == ops::WeightFormat::bf16 ? 1.0 : 0.0;
  });
  comm.maximum({&is_bf16, 1});
  const auto format = is_bf16 > 0.0 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32;
  std::size_t bytes = 0;
  comm::agree(comm, [&] {
    bytes = model::weight_bytes(model::read_config(folder / "config.json"), format);
  });
  const auto storage = std::make_shared<NodeStorage>(comm.allocate_on_node(bytes, ranks_per_node));
  std::optional<ModelFolder> result;
  comm::agree(comm, [&] {
    result.emplace(
        with_tokenizer(model::Model(folder, format, storage, precision.compute), folder));
  });
  storage->publish();
  // What examples may still ask for; the tokenizer's own file can be large and has been read.
  KnownFiles::Texts later;
  for (const char* name : {"tokenizer_config.json", "chat_template.jinja"}) {
    later[folder / name] = *KnownFiles::find(folder / name);
  }
  known.reset();
  result->known_files = std::make_unique<KnownFiles>(std::move(later));
  return std::move(*result);
}

std::string rounding_warning(const model::Model& model) {
  const double rounding = model.weights().largest_rounding;
  if (rounding == 0.0) return {};
  return fmt::format(
      "the base model's weights were rounded to BF16 (largest relative change {:.2g}): losses are "
      "those of the rounded model; --weights f32 keeps them",
      rounding);
}

}  // namespace d2c::eval
