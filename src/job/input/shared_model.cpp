#include "input/shared_model.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

#include "input/identity.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// The small files of a model folder.
std::vector<const char*> text_files() {
  std::vector<const char*> names{"config.json", "tokenizer.json"};
  names.insert(names.end(), text::files_beside_tokenizer.begin(),
               text::files_beside_tokenizer.end());
  return names;
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

/// Rank 0 reads the small files of a model folder for all ranks. Collective.
FileTexts share_texts(comm::Communicator& comm, const fs::path& folder) {
  FileTexts::Known texts;
  for (const char* name : text_files()) {
    std::string text;
    std::string exists;
    comm::agree(comm, [&] {
      if (!comm.is_root()) return;
      eval::check_model_folder(folder);
      if (!is_present(folder / name)) return;
      exists = "yes";
      text = json::read_text(folder / name);
    });
    exists = comm::broadcast_text(comm, exists, 0);
    text = comm::broadcast_text(comm, text, 0);
    std::optional<std::string>& known = texts[folder / name];
    if (!exists.empty()) known = std::move(text);
  }
  return FileTexts(std::move(texts));
}

results::Identity digests_of(const FileTexts& texts, const fs::path& folder) {
  results::Identity digests;
  for (const char* name : text_files()) {
    const fs::path file = folder / name;
    if (!texts.exists(file)) continue;
    digests[fmt::format("model's {}", name)] = Digest().update(texts.read(file)).text();
  }
  return digests;
}

}  // namespace

SharedModel load_shared_model(comm::Communicator& comm, const fs::path& folder,
                              model::Precision precision, int ranks_per_node) {
  comm::agree(comm, [&] { model::check_processor(precision.compute); });
  FileTexts texts = share_texts(comm, folder);
  results::Identity content;
  // One rank looks at the weights before those that read them.
  double is_bf16 = 0.0;
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    const safetensors::ShardedReader weights(folder);
    const auto format = model::weight_format(folder, precision, &weights);
    is_bf16 = format == ops::WeightFormat::bf16 ? 1.0 : 0.0;
    model::check_weights(weights, model::read_config(folder / "config.json", texts));
    content = digests_of(texts, folder);
    content["model weights"] = digest_of(weights);
  });
  comm.maximum({&is_bf16, 1});
  const auto format = is_bf16 > 0.0 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32;
  std::size_t bytes = 0;
  comm::agree(comm, [&] {
    bytes = model::weight_bytes(model::read_config(folder / "config.json", texts), format);
  });
  const auto storage = std::make_shared<NodeStorage>(comm.allocate_on_node(bytes, ranks_per_node));
  std::optional<eval::ModelFolder> result;
  comm::agree(comm, [&] {
    model::Model model(folder, format, storage, precision.compute, texts);
    result.emplace(eval::with_tokenizer(std::move(model), folder, std::move(texts)));
  });
  storage->publish();
  return {std::move(*result), std::move(content)};
}

}  // namespace d2c::job
