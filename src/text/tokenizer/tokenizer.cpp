#include "d2c/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "steps/decoder.hpp"
#include "steps/normalizer.hpp"
#include "steps/post_processor.hpp"
#include "steps/pre_tokenizer.hpp"
#include "tokenizer/added_tokens.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/field.hpp"
#include "tokenizer/tokenizer_config.hpp"

namespace d2c::text {
namespace {

/// Without a decoder tokens are joined by spaces.
void join_by_spaces(std::vector<std::string>& tokens) {
  for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
}

/// @param otherwise  what counts where the file has no such part
template <class Part>
Part part_of(const Field& root, const char* name, Part (*make)(const Field&), Part otherwise) {
  const auto field = root.find(name);
  return field ? make(*field) : std::move(otherwise);
}

/// A tokenizer class whose post-processor transformers builds anew from add_bos_token and
/// add_eos_token: what the two tokens are, and whether BOS is added, where nothing says so.
struct RebuiltClass {
  std::string_view name;
  const char* bos;
  const char* eos;
  bool add_bos;
};
constexpr std::array rebuilt_classes = std::to_array<RebuiltClass>({
    {"CodeLlamaTokenizer", "<s>", "</s>", true},
    {"CohereTokenizer", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", true},
    {"GemmaTokenizer", "<bos>", "<eos>", true},
    {"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", false},
    {"LlamaTokenizer", "<s>", "</s>", true},
});

template <class IdOf>
Frame frame_of(const Field& root, const TokenizerConfig& config, const IdOf& id_of) {
  const auto row = std::ranges::find(rebuilt_classes, config.class_name, &RebuiltClass::name);
  if (row == rebuilt_classes.end() || (!config.add_bos && !config.add_eos)) {
    return part_of<Frame>(root, "post_processor", make_frame, {});
  }
  const auto ids = [&](bool add, const char* name, const char* fallback) -> std::vector<TokenId> {
    if (!add) return {};
    const std::string token = config.special_token(name).value_or(fallback);
    const std::optional<TokenId> id = id_of(token);
    if (!id) {
      throw InputError({config.file, fmt::format("add_{}", name)},
                       {fmt::format("is true, but the tokenizer has no token '{}'", token),
                        "transformers adds it to every text", fmt::format("repair {}", name)});
    }
    return {*id};
  };
  return {ids(config.add_bos.value_or(row->add_bos), "bos_token", row->bos),
          ids(config.add_eos.value_or(false), "eos_token", row->eos)};
}

BpeModel model_of(const Field& root) {
  const Field model = root.at("model");
  // Old files have no type; BPE is the one model with merges.
  if (model.find("type")) {
    make_part<bool>(model, {{"BPE", [](const Field&) { return true; }}});
  }
  return BpeModel(model);
}

/// Many versions of transformers write the flag of tokenizer_config.json over the one of a
/// ByteLevel pre-tokenizer (GPT2TokenizerFast all of them, with false where nothing says so),
/// others do not.
void check_prefix_space(const Field& root, const TokenizerConfig& config) {
  const auto step = root.find("pre_tokenizer");
  if (!step || !step->find("type") || step->at("type").string() != "ByteLevel") return;
  const bool here = step->boolean("add_prefix_space", true);
  const bool is_gpt2 = config.class_name == "GPT2Tokenizer";
  if (config.add_prefix_space.value_or(is_gpt2 ? false : here) == here) return;
  Field(step->value(), config.file, "add_prefix_space")
      .fail({fmt::format("is not {}, as in pre_tokenizer of tokenizer.json", here),
             "whether a text begins with a space would hang on the version of transformers",
             "make both equal"});
}

void check_version(const Field& root) {
  const auto version = root.find("version");
  if (version && version->string() != "1.0") {
    version->fail({"the version '" + version->string() + "' is not known",
                   "its fields may have another meaning", "supported: 1.0"});
  }
}

}  // namespace

struct Tokenizer::Impl {
  Impl(const Field& root, const TokenizerConfig& config)
      : normalizer(part_of<Normalizer>(root, "normalizer", make_normalizer, [](std::string&) {})),
        model(model_of(root)),
        added(root.find("added_tokens"), model, normalizer, config),
        frame(frame_of(root, config, [this](std::string_view token) { return id_of(token); })),
        pre_tokenizer(part_of<PreTokenizer>(root, "pre_tokenizer", make_pre_tokenizer,
                                            [](std::vector<Piece>&) {})),
        decoder(part_of<Decoder>(root, "decoder", make_decoder, join_by_spaces)) {
    if (const auto token = config.special_token("eos_token")) eos = id_of(*token);
  }

  [[nodiscard]] std::optional<TokenId> id_of(std::string_view token) const {
    const auto found = added.id_of(token);
    return found ? found : model.vocabulary().id_of(token);
  }

  Normalizer normalizer;
  BpeModel model;
  AddedTokens added;
  Frame frame;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  std::optional<TokenId> eos;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& path, const FileTexts& texts) {
  std::error_code ignored;
  const bool is_file =
      path.filename() == "tokenizer.json" || !std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file = is_file ? path : path / "tokenizer.json";
  if (!texts.exists(file) && std::filesystem::exists(file.parent_path() / "tokenizer.model")) {
    throw InputError({file.parent_path() / "tokenizer.model", ""},
                     {"is there without tokenizer.json", "SentencePiece's own format is not read",
                      "make tokenizer.json of it once with transformers: "
                      "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"});
  }
  const json::Json document = json::parse(texts.read(file), file);
  const Field root(document, file, "");
  if (!document.is_object()) root.fail({"is not a tokenizer.json", "it must be an object", ""});
  check_version(root);
  const TokenizerConfig config = read_tokenizer_config(file.parent_path(), texts);
  check_prefix_space(root, config);
  return Tokenizer(std::make_unique<Impl>(root, config));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool special_tokens) const {
  if (const auto invalid = first_invalid_utf8(text)) {
    throw InputError({{}, "text"}, {fmt::format("not valid UTF-8 at byte {}", *invalid),
                                    "only valid text has tokens", "repair the text"});
  }
  const Impl& impl = *impl_;
  std::vector<TokenId> ids;
  if (special_tokens) ids = impl.frame.prefix;
  BpeModel::Scratch scratch;
  std::vector<Piece> pieces = impl.added.split(text, impl.normalizer);
  impl.pre_tokenizer(pieces);
  for (const Piece& piece : pieces) {
    if (piece.id) {
      ids.push_back(*piece.id);
    } else {
      impl.model.encode(piece.text, scratch, ids);
    }
  }
  if (special_tokens) {
    ids.insert(ids.end(), impl.frame.suffix.begin(), impl.frame.suffix.end());
  }
  return ids;
}

std::optional<TokenId> Tokenizer::eos() const { return impl_->eos; }
const std::vector<std::string>& Tokenizer::warnings() const { return impl_->added.warnings(); }
const std::vector<TokenId>& Tokenizer::prefix() const { return impl_->frame.prefix; }

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  for (const TokenId id : ids) {
    auto token = impl_->added.token_of(id);
    if (!token) token = impl_->model.vocabulary().token_of(id);
    if (!token || (skip_special && impl_->added.is_special(*token))) continue;
    tokens.emplace_back(*token);
  }
  impl_->decoder(tokens);
  std::string text;
  for (const auto& token : tokens) text += token;
  return text;
}

std::optional<TokenId> Tokenizer::id_of(std::string_view token) const {
  return impl_->id_of(token);
}

}  // namespace d2c::text
