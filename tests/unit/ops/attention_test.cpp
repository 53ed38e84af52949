#include "d2c/ops/attention.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::random_matrix;

/// The rows that row `row` of segment `s` may see, from the first position on.
std::vector<Index> visible(const std::vector<Segment>& segments, Index s, Index row, Index window) {
  std::vector<Index> rows;
  for (Index above = segments[static_cast<std::size_t>(s)].parent; above >= 0;
       above = segments[static_cast<std::size_t>(above)].parent) {
    const Segment& segment = segments[static_cast<std::size_t>(above)];
    std::vector<Index> own(static_cast<std::size_t>(segment.length()));
    std::iota(own.begin(), own.end(), segment.begin);
    rows.insert(rows.begin(), own.begin(), own.end());
  }
  for (Index i = segments[static_cast<std::size_t>(s)].begin; i <= row; ++i) rows.push_back(i);
  if (window > 0 && std::ssize(rows) > window) rows.erase(rows.begin(), rows.end() - window);
  return rows;
}

/// Scalar twin of Attention.
std::vector<double> reference(const AttentionShape& shape, const std::vector<Segment>& segments,
                              const Matrix& q, const Matrix& k, const Matrix& v, Index s, Index row,
                              Index head) {
  const Index kv_head = head / (shape.n_heads / shape.n_kv_heads);
  const std::vector<Index> rows = visible(segments, s, row, shape.window);
  std::vector<double> scores;
  for (const Index key : rows) {
    double score = 0.0;
    for (Index d = 0; d < shape.head_dim; ++d) {
      score += static_cast<double>(q(row, head * shape.head_dim + d)) *
               static_cast<double>(k(key, kv_head * shape.head_dim + d));
    }
    score *= static_cast<double>(shape.scale);
    const auto cap = static_cast<double>(shape.cap);
    scores.push_back(cap > 0.0 ? cap * std::tanh(score / cap) : score);
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  double sum = 0.0;
  for (double& score : scores) sum += score = std::exp(score - maximum);
  std::vector<double> out(static_cast<std::size_t>(shape.head_dim));
  for (std::size_t j = 0; j < rows.size(); ++j) {
    for (Index d = 0; d < shape.head_dim; ++d) {
      out[static_cast<std::size_t>(d)] +=
          scores[j] / sum * static_cast<double>(v(rows[j], kv_head * shape.head_dim + d));
    }
  }
  return out;
}

/// A tree with a branch of depth three, a second root, and segments of one token.
std::vector<Segment> some_forest() {
  return {{0, 37, -1, 0},   {37, 60, 0, 37},   {60, 61, 1, 60},
          {61, 130, 1, 60}, {130, 133, 0, 37}, {133, 200, -1, 0}};
}

std::vector<Index> all_rows(Index n) {
  std::vector<Index> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), Index{0});
  return rows;
}

struct Inputs {
  Matrix q, k, v;
  Inputs(const AttentionShape& shape, Index n)
      : q(random_matrix(n, shape.n_heads * shape.head_dim, "q")),
        k(random_matrix(n, shape.n_kv_heads * shape.head_dim, "k")),
        v(random_matrix(n, shape.n_kv_heads * shape.head_dim, "v")) {}

  [[nodiscard]] Matrix attend(const AttentionShape& shape, const std::vector<Segment>& segments,
                              const std::vector<Index>& queries) const {
    Matrix out(std::ssize(queries), q.cols());
    KeyMemory memory;
    memory.lay_out(shape, segments);
    memory.put(test::one_thread, rows_of(k), rows_of(v));
    Attention attention;
    attention(test::one_thread, shape, segments, memory, {rows_of(q), queries}, rows_of(out));
    return out;
  }
};

class AttentionOverForest : public testing::TestWithParam<AttentionShape> {};

TEST_P(AttentionOverForest, EqualsTheScalarTwin) {
  const AttentionShape& shape = GetParam();
  const auto segments = some_forest();
  const Inputs inputs(shape, 200);
  const Matrix out = inputs.attend(shape, segments, all_rows(200));
  for (Index s = 0; s < std::ssize(segments); ++s) {
    const Segment& segment = segments[static_cast<std::size_t>(s)];
    for (Index row = segment.begin; row < segment.end; ++row) {
      for (Index head = 0; head < shape.n_heads; ++head) {
        const auto expected =
            reference(shape, segments, inputs.q, inputs.k, inputs.v, s, row, head);
        for (Index d = 0; d < shape.head_dim; ++d) {
          // Scores of size 20 carry errors of 20 eps, which exp turns into relative ones.
          ASSERT_NEAR(static_cast<double>(out(row, head * shape.head_dim + d)),
                      expected[static_cast<std::size_t>(d)], 2e-5)
              << "row " << row << ", head " << head << ", dimension " << d;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionOverForest,
    testing::Values(AttentionShape{4, 4, 8, 0.35F, 0}, AttentionShape{6, 2, 16, 0.25F, 0},
                    AttentionShape{2, 1, 20, 0.2F, 0}, AttentionShape{64, 1, 4, 0.5F, 0},
                    AttentionShape{6, 2, 16, 0.25F, 1}, AttentionShape{6, 3, 12, 0.25F, 16},
                    AttentionShape{2, 2, 32, 0.2F, 33}, AttentionShape{4, 2, 8, 0.5F, 0, 50.0F},
                    AttentionShape{6, 2, 16, 0.25F, 9, 1.5F}),
    [](const auto& test) {
      const AttentionShape& shape = test.param;
      return fmt::format("h{}kv{}d{}w{}cap{:.0f}", shape.n_heads, shape.n_kv_heads, shape.head_dim,
                         shape.window, 10.0F * shape.cap);
    });

TEST(Attention, SharedPrefixesGiveTheBitsOfWholeSequences) {
  for (const Index window : {0, 1, 13, 50}) {
    const AttentionShape shape{4, 2, 12, 0.3F, window};
    const auto segments = some_forest();
    const Inputs forest(shape, 200);
    const Matrix shared = forest.attend(shape, segments, all_rows(200));
    const std::vector<Index> path = visible(segments, 3, 129, 0);
    const Index n = std::ssize(path);
    Inputs whole(shape, n);
    for (Index i = 0; i < n; ++i) {
      const Index row = path[static_cast<std::size_t>(i)];
      std::ranges::copy(forest.q.row(row), whole.q.row(i).begin());
      std::ranges::copy(forest.k.row(row), whole.k.row(i).begin());
      std::ranges::copy(forest.v.row(row), whole.v.row(i).begin());
    }
    const Matrix alone = whole.attend(shape, {{0, n, -1, 0}}, all_rows(n));
    for (Index i = 0; i < n; ++i) {
      const auto expected = shared.row(path[static_cast<std::size_t>(i)]);
      EXPECT_TRUE(std::ranges::equal(alone.row(i), expected)) << "position " << i;
    }
  }
}

TEST(Attention, AnswersOnlyTheQueriesAskedFor) {
  const AttentionShape shape{4, 2, 8, 0.3F, 0};
  const Inputs inputs(shape, 200);
  const std::vector<Index> queries{0, 36, 37, 60, 61, 62, 99, 199};
  const Matrix all = inputs.attend(shape, some_forest(), all_rows(200));
  const Matrix some = inputs.attend(shape, some_forest(), queries);
  for (Index i = 0; i < std::ssize(queries); ++i) {
    EXPECT_TRUE(std::ranges::equal(some.row(i), all.row(queries[static_cast<std::size_t>(i)])));
  }
}

/// Some rows of a matrix.
Matrix rows_at(const Matrix& all, const std::vector<Index>& rows) {
  Matrix some(std::ssize(rows), all.cols());
  for (Index i = 0; i < some.rows(); ++i) {
    std::ranges::copy(all.row(rows[static_cast<std::size_t>(i)]), some.row(i).begin());
  }
  return some;
}

TEST(Attention, KeysThatComePieceByPieceGiveTheBitsOfThoseThatComeAtOnce) {
  for (const Index window : {0, 13}) {
    const AttentionShape shape{4, 2, 12, 0.3F, window};
    const std::vector<Segment> segments = some_forest();
    const Inputs all(shape, 200);
    const Matrix expected = all.attend(shape, segments, all_rows(200));
    KeyMemory memory;
    memory.lay_out(shape, segments);
    Attention attention;
    std::vector<Segment> known = segments;
    for (Segment& segment : known) segment.end = segment.begin;
    // Each piece holds the next tokens of several segments, and none of others.
    for (const std::size_t most : {20, 1, 1, 3, 15, 1, 60}) {
      std::vector<Index> places;
      for (std::size_t s = 0; s < segments.size(); ++s) {
        const bool has_prefix = segments[s].parent < 0 ||
                                known[static_cast<std::size_t>(segments[s].parent)].end ==
                                    segments[static_cast<std::size_t>(segments[s].parent)].end;
        for (std::size_t i = 0; has_prefix && i < most && known[s].end < segments[s].end; ++i) {
          places.push_back(known[s].end++);
        }
      }
      const Matrix q = rows_at(all.q, places);
      memory.put(test::one_thread, rows_of(rows_at(all.k, places)), rows_of(rows_at(all.v, places)),
                 places);
      Matrix out(q.rows(), q.cols());
      attention(test::one_thread, shape, known, memory, {rows_of(q), all_rows(q.rows()), places},
                rows_of(out));
      EXPECT_EQ(out, rows_at(expected, places)) << "window " << window;
    }
    EXPECT_EQ(known.back().end, segments.back().end);
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  const AttentionShape shape{1, 1, 4, 1e4F, 0};
  const Inputs inputs(shape, 30);
  const Matrix out = inputs.attend(shape, {{0, 30, -1, 0}}, all_rows(30));
  for (const float value : out.values()) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace d2c::ops
