#pragma once

#include "d2c/core/json.hpp"
#include "d2c/text/tokenizer.hpp"

#include "test_support.hpp"

namespace d2c::test {

/// Writes a tokenizer.json and loads it.
inline text::Tokenizer load_tokenizer(const json::Json& document) {
  const TempFolder folder;
  write_file(folder / "tokenizer.json", document.dump());
  return text::Tokenizer::load(folder.path());
}

}  // namespace d2c::test
