#include "steps/pre_tokenizer.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "regex/regex.hpp"
#include "steps/metaspace.hpp"
#include "steps/split.hpp"
#include "tokenizer/growth.hpp"
#include "unicode/byte_level.hpp"
#include "unicode/unicode.hpp"
#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

/// Replaces every piece that is no added token by its parts.
/// @param split  std::vector<Range>(std::string_view)
template <class Split>
void split_pieces(std::vector<Piece>& pieces, const Split& split) {
  std::vector<Piece> parts;
  parts.reserve(pieces.size());
  for (Piece& piece : pieces) {
    if (piece.id) {
      parts.push_back(std::move(piece));
      continue;
    }
    for (const auto& [begin, end] : split(piece.text)) {
      if (begin == end) continue;
      parts.push_back({piece.text.substr(begin, end - begin), piece.at_start && begin == 0, {}});
    }
  }
  pieces = std::move(parts);
}

/// @param rewrite  void(Piece&)
template <class Rewrite>
void rewrite_pieces(std::vector<Piece>& pieces, const Rewrite& rewrite) {
  for (Piece& piece : pieces) {
    if (!piece.id) rewrite(piece);
  }
}

/// Splits at every character with a property.
PreTokenizer split_at(bool (*has_property)(char32_t), DelimiterBehavior behavior) {
  return [=](std::vector<Piece>& pieces) {
    split_pieces(pieces, [&](std::string_view text) {
      std::vector<Range> matches;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t begin = at;
        if (has_property(next_character(text, at))) matches.emplace_back(begin, at);
      }
      return apply_behavior(cover(text.size(), matches, false), behavior);
    });
  };
}

PreTokenizer split_by(Regex regex, DelimiterBehavior behavior, bool invert) {
  return [=](std::vector<Piece>& pieces) {
    split_pieces(pieces, [&](std::string_view text) {
      return apply_behavior(cover(text.size(), regex.find_all(text), invert), behavior);
    });
  };
}

PreTokenizer sequence_pre_tokenizer(const Field& field) {
  std::vector<PreTokenizer> parts;
  for (const Field& part : field.at("pretokenizers").items()) {
    parts.push_back(make_pre_tokenizer(part));
  }
  return [parts = std::move(parts)](std::vector<Piece>& pieces) {
    const auto bytes = [&] {
      std::size_t sum = 0;
      for (const Piece& piece : pieces) sum += piece.text.size();
      return sum;
    };
    const GrowthLimit limit(bytes());
    for (const auto& part : parts) {
      part(pieces);
      limit.check(bytes(), "pre_tokenizer");
    }
  };
}

PreTokenizer split_pre_tokenizer(const Field& field) {
  return split_by(read_pattern(field.at("pattern")), read_behavior(field.at("behavior")),
                  field.boolean("invert", false));
}

PreTokenizer byte_level_pre_tokenizer(const Field& field) {
  // Source: Radford et al., GPT-2, encoder.py.
  static constexpr const char* pattern =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  const auto split = field.boolean("use_regex", true)
                         ? split_by({pattern, field}, DelimiterBehavior::isolated, false)
                         : PreTokenizer([](std::vector<Piece>& /*pieces*/) {});
  return [split, add_space = field.boolean("add_prefix_space", true)](std::vector<Piece>& pieces) {
    if (add_space) {
      rewrite_pieces(pieces, [](Piece& piece) {
        if (!piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
      });
    }
    split(pieces);
    rewrite_pieces(pieces, [](Piece& piece) { piece.text = to_byte_level(piece.text); });
  };
}

PreTokenizer digits_pre_tokenizer(const Field& field) {
  return split_at(is_numeric, field.boolean("individual_digits", false)
                                  ? DelimiterBehavior::isolated
                                  : DelimiterBehavior::contiguous);
}

PreTokenizer punctuation_pre_tokenizer(const Field& field) {
  const auto behavior = field.find("behavior");
  return split_at(is_punctuation,
                  behavior ? read_behavior(*behavior) : DelimiterBehavior::isolated);
}

/// Words and runs of other visible characters.
PreTokenizer whitespace_pre_tokenizer(const Field& field) {
  static constexpr const char* pattern =
      R"([[:word:]\p{Join_Control}]+|[^[:word:]\p{Join_Control}\s]+)";
  return split_by({pattern, field}, DelimiterBehavior::removed, true);
}

PreTokenizer whitespace_split_pre_tokenizer(const Field& /*field*/) {
  return split_at(is_white_space, DelimiterBehavior::removed);
}

PreTokenizer metaspace_pre_tokenizer(const Field& field) {
  const Metaspace metaspace = read_metaspace(field);
  const auto split = field.boolean("split", true)
                         ? split_by({escape_regex(metaspace.replacement), field},
                                    DelimiterBehavior::merged_with_next, false)
                         : PreTokenizer([](std::vector<Piece>& /*pieces*/) {});
  return [metaspace, split](std::vector<Piece>& pieces) {
    rewrite_pieces(pieces, [&](Piece& piece) {
      replace_all(piece.text, " ", metaspace.replacement);
      const bool wanted = metaspace.prepend == PrependScheme::always ||
                          (metaspace.prepend == PrependScheme::first && piece.at_start);
      if (wanted && !piece.text.starts_with(metaspace.replacement)) {
        piece.text.insert(0, metaspace.replacement);
      }
    });
    split(pieces);
  };
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Field& field) {
  return make_part<PreTokenizer>(field, {{"ByteLevel", byte_level_pre_tokenizer},
                                         {"Digits", digits_pre_tokenizer},
                                         {"Metaspace", metaspace_pre_tokenizer},
                                         {"Punctuation", punctuation_pre_tokenizer},
                                         {"Sequence", sequence_pre_tokenizer},
                                         {"Split", split_pre_tokenizer},
                                         {"Whitespace", whitespace_pre_tokenizer},
                                         {"WhitespaceSplit", whitespace_split_pre_tokenizer}});
}

}  // namespace d2c::text
