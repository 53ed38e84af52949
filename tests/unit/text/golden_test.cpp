// Ids of Hugging Face tokenizers for small tokenizers of many kinds: golden/make_golden.js.
#include <string>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

#include "hand_made.hpp"
#include "test_support.hpp"

namespace d2c::text {
namespace {

using Ids = std::vector<TokenId>;

TEST(TokenizerGolden, EveryVariantGivesTheReferenceIdsAndText) {
  const json::Json golden = json::read_file(test::source("tests/unit/text/golden/golden.json"));
  for (const json::Json& variant : golden["variants"]) {
    SCOPED_TRACE(variant["name"]);
    json::Json document = golden["bases"][variant["base"].get<std::string>()];
    for (const auto& [key, value] : variant["overrides"].items()) {
      if (key == "model") {
        document["model"].update(value);
      } else {
        document[key] = value;
      }
    }
    const Tokenizer tokenizer = test::load_tokenizer(document);
    for (std::size_t i = 0; i < golden["texts"].size(); ++i) {
      const auto text = golden["texts"][i].get<std::string>();
      const auto ids = variant["ids"][i].get<Ids>();
      EXPECT_EQ(tokenizer.encode(text, true), ids) << golden["texts"][i];
      if (!variant.contains("decoded")) continue;
      const json::Json& decoded = variant["decoded"][i];
      EXPECT_EQ(tokenizer.decode(ids, false), decoded.is_null() ? text : decoded.get<std::string>())
          << golden["texts"][i];
    }
  }
}

}  // namespace
}  // namespace d2c::text
