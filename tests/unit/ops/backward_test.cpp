#include "d2c/ops/backward.hpp"

#include <cmath>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "d2c/ops/linear.hpp"
#include "d2c/ops/norm.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"

#include "random_rows.hpp"
#include "test_support.hpp"

namespace d2c::ops {
namespace {

using test::one_thread;
using test::Packed;
using test::random_matrix;

double at(const Matrix& m, Index i, Index j) { return static_cast<double>(m(i, j)); }

/// Expects values equal to references, within a multiple of float's rounding of their scale.
void expect_close(const Matrix& values, const std::function<double(Index, Index)>& reference,
                  double tolerance, const char* what) {
  double scale = 0.0;
  double worst = 0.0;
  Index row = 0;
  Index column = 0;
  for (Index i = 0; i < values.rows(); ++i) {
    for (Index j = 0; j < values.cols(); ++j) {
      const double expected = reference(i, j);
      scale = std::max(scale, std::abs(expected));
      const double error = std::abs(at(values, i, j) - expected);
      if (!(error <= worst)) {
        worst = error;
        row = i;
        column = j;
      }
    }
  }
  EXPECT_LE(worst, tolerance * scale) << what << ": worst at " << row << ", " << column;
}

/// Derivative of f with respect to element (i, j) of m, by central differences in float64.
double slope(std::vector<double>& m, Index at, const std::function<double()>& f) {
  constexpr double step = 1e-5;
  double& value = m[static_cast<std::size_t>(at)];
  const double kept = value;
  value = kept + step;
  const double above = f();
  value = kept - step;
  const double below = f();
  value = kept;
  return (above - below) / (2 * step);
}

std::vector<double> widen(const Matrix& m) {
  std::vector<double> wide;
  for (Index i = 0; i < m.rows(); ++i) {
    for (Index j = 0; j < m.cols(); ++j) wide.push_back(at(m, i, j));
  }
  return wide;
}

template <class Value>
void expect_untransposed_product() {
  for (const auto& [n, d_out, d_in] : {std::tuple<Index, Index, Index>{1, 5, 3},
                                       {13, 700, 37},
                                       {270, 33, 1050},
                                       {40, 1300, 530}}) {
    const Matrix w = random_matrix(d_out, d_in, "w");
    const Matrix dy = random_matrix(n, d_out, "dy");
    const Packed<Value> packed(w);
    Matrix stored(d_out, d_in);
    for (Index i = 0; i < d_out; ++i) {
      packed.view.copy_row(i, {rows_of(stored).row(i), static_cast<std::size_t>(d_in)});
    }
    Matrix dx = random_matrix(n, d_in, "dx");
    const Matrix before = dx;
    LinearBackward backward;
    const auto reference = [&](Index i, Index j) {
      double sum = 0.0;
      for (Index o = 0; o < d_out; ++o) sum += at(dy, i, o) * at(stored, o, j);
      return sum;
    };
    backward(one_thread, rows_of(dy), packed.view, rows_of(dx));
    expect_close(dx, reference, 1e-6, "overwritten");
    dx = before;
    backward.add(one_thread, rows_of(dy), packed.view, rows_of(dx));
    expect_close(
        dx, [&](Index i, Index j) { return at(before, i, j) + reference(i, j); }, 1e-6, "added");
  }
}

TEST(LinearBackward, IsTheProductWithUntransposedFloatWeights) {
  expect_untransposed_product<float>();
}
TEST(LinearBackward, IsTheProductWithUntransposedBf16Weights) {
  expect_untransposed_product<BFloat16>();
}

TEST(LinearBackward, GivesARowTheSameBitsInAnyBatch) {
  const Matrix w = random_matrix(700, 45, "w");
  const Matrix dy = random_matrix(300, 700, "dy");
  const Packed<float> packed(w);
  Matrix all(300, 45);
  Matrix one(1, 45);
  LinearBackward backward;
  backward(one_thread, rows_of(dy), packed.view, rows_of(all));
  for (const Index row : {0, 7, 263, 264, 299}) {
    backward(one_thread, rows_of(dy).rows(row, 1), packed.view, rows_of(one));
    for (Index j = 0; j < 45; ++j) EXPECT_EQ(one(0, j), all(row, j));
  }
}

TEST(FactorGradient, IsTheSumOfOuterProducts) {
  const Index n = 700;
  const Matrix g = random_matrix(n, 5, "g");
  const Matrix x = random_matrix(n, 75, "x");
  Matrix c = random_matrix(5, 75, "c");
  const Matrix before = c;
  FactorGradient gradient;
  gradient(rows_of(g), rows_of(x), 0.5F, rows_of(c));
  expect_close(
      c,
      [&](Index r, Index j) {
        double sum = 0.0;
        for (Index t = 0; t < n; ++t) sum += at(g, t, r) * at(x, t, j);
        return at(before, r, j) + 0.5 * sum;
      },
      2e-6, "c");
}

TEST(NormBackward, IsTheSlopeOfTheNorm) {
  const Index n = 3;
  const Index d = 21;
  const Matrix x = random_matrix(n, d, "x");
  const Matrix dy = random_matrix(n, d, "dy");
  const Matrix weights = random_matrix(1, d, "weight");
  const std::vector<float> weight(weights.data(), weights.data() + d);
  for (const bool centred : {false, true}) {
    std::vector<double> wide = widen(x);
    const auto loss = [&] {
      double sum = 0.0;
      for (Index t = 0; t < n; ++t) {
        const double* row = wide.data() + t * d;
        const double centre = centred ? std::accumulate(row, row + d, 0.0) / d : 0.0;
        double squares = 0.0;
        for (Index i = 0; i < d; ++i) squares += (row[i] - centre) * (row[i] - centre);
        const double factor = 1.0 / std::sqrt(squares / d + 1e-5);
        for (Index i = 0; i < d; ++i) {
          sum += at(dy, t, i) * static_cast<double>(weight[static_cast<std::size_t>(i)]) *
                 (row[i] - centre) * factor;
        }
      }
      return sum;
    };
    Matrix dx(n, d);
    std::ranges::fill(dx.values(), 1.0F);
    if (centred) {
      add_layer_norm_backward(one_thread, rows_of(x), weight, 1e-5F, rows_of(dy), rows_of(dx));
    } else {
      add_rms_norm_backward(one_thread, rows_of(x), weight, 1e-5F, rows_of(dy), rows_of(dx));
    }
    expect_close(
        dx, [&](Index i, Index j) { return 1.0 + slope(wide, i * d + j, loss); }, 2e-6, "dx");
  }
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
  }
  return 0.0;
}

TEST(GateBackward, IsTheSlopeOfEveryActivation) {
  const Index n = 4;
  const Index d = 37;
  const Matrix gate = random_matrix(n, d, "gate");
  const Matrix up = random_matrix(n, d, "up");
  const Matrix dy = random_matrix(n, d, "dy");
  for (const Activation activation :
       {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    Matrix dgate = gate;
    Matrix dup = up;
    gate_backward_in_place(one_thread, activation, rows_of(dy), rows_of(dgate), rows_of(dup));
    expect_close(
        dup, [&](Index i, Index j) { return at(dy, i, j) * activate(activation, at(gate, i, j)); },
        1e-6, "up");
    expect_close(
        dgate,
        [&](Index i, Index j) {
          const double x = at(gate, i, j);
          const double step = 1e-6;
          return at(dy, i, j) * at(up, i, j) *
                 (activate(activation, x + step) - activate(activation, x - step)) / (2 * step);
        },
        2e-6, "gate");
  }
}

/// Attention in float64 over the sequences of a forest, and the sum of dout times its output.
struct AttentionTwin {
  [[nodiscard]] double loss(const std::vector<double>& q, const std::vector<double>& k,
                            const std::vector<double>& v, const Matrix& dout) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const std::vector<Index> keys = visible(queries[i]);
      for (Index head = 0; head < shape.n_heads; ++head) {
        sum += attend(q, k, v, dout, static_cast<Index>(i), head, keys);
      }
    }
    return sum;
  }

  AttentionShape shape;
  std::vector<Segment> segments;
  std::vector<Index> queries;

 private:
  [[nodiscard]] std::vector<Index> visible(Index row) const {
    std::vector<Index> rows;
    Index s = 0;
    while (segments[static_cast<std::size_t>(s)].end <= row) ++s;
    for (Index end = row + 1; s >= 0; s = segments[static_cast<std::size_t>(s)].parent) {
      const Segment& segment = segments[static_cast<std::size_t>(s)];
      end = std::min(end, segment.end);
      for (Index i = end - 1; i >= segment.begin; --i) rows.push_back(i);
      if (segment.parent >= 0) end = segments[static_cast<std::size_t>(segment.parent)].end;
    }
    if (shape.window > 0 && std::ssize(rows) > shape.window) {
      rows.resize(static_cast<std::size_t>(shape.window));
    }
    return rows;
  }

  [[nodiscard]] double attend(const std::vector<double>& q, const std::vector<double>& k,
                              const std::vector<double>& v, const Matrix& dout, Index i, Index head,
                              const std::vector<Index>& keys) const {
    const Index d = shape.head_dim;
    const Index kv_head = head / (shape.n_heads / shape.n_kv_heads);
    const auto element = [&](const std::vector<double>& m, Index n_heads, Index row, Index h,
                             Index e) {
      return m[static_cast<std::size_t>((row * n_heads + h) * d + e)];
    };
    std::vector<double> p;
    for (const Index key : keys) {
      double score = 0.0;
      for (Index e = 0; e < d; ++e) {
        score += element(q, shape.n_heads, queries[static_cast<std::size_t>(i)], head, e) *
                 element(k, shape.n_kv_heads, key, kv_head, e);
      }
      score *= static_cast<double>(shape.scale);
      const auto cap = static_cast<double>(shape.cap);
      p.push_back(std::exp(cap > 0.0 ? cap * std::tanh(score / cap) : score));
    }
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    double result = 0.0;
    for (std::size_t j = 0; j < keys.size(); ++j) {
      for (Index e = 0; e < d; ++e) {
        result += p[j] / sum * element(v, shape.n_kv_heads, keys[j], kv_head, e) *
                  at(dout, i, head * d + e);
      }
    }
    return result;
  }
};

TEST(AttentionBackward, IsTheSlopeOfAttentionOverSharedPrefixes) {
  for (const auto& [window, cap] : {std::pair<Index, float>{0, 0.0F}, {3, 0.0F}, {0, 1.2F}}) {
    const AttentionShape shape{
        .n_heads = 4, .n_kv_heads = 2, .head_dim = 5, .scale = 0.4F, .window = window, .cap = cap};
    // A root with two children, one of which has a child; and a second root.
    const std::vector<Segment> segments{
        {0, 4, -1, 0}, {4, 7, 0, 4}, {7, 8, 1, 7}, {8, 11, 0, 4}, {11, 13, -1, 0}};
    const AttentionTwin twin{shape, segments, {2, 3, 5, 6, 7, 8, 10, 12}};
    const Index n = 13;
    const Matrix q = random_matrix(n, 20, "q");
    const Matrix k = random_matrix(n, 10, "k");
    const Matrix v = random_matrix(n, 10, "v");
    const Matrix dout = random_matrix(std::ssize(twin.queries), 20, "dout");
    Matrix dq(n, 20);
    Matrix dk(n, 10);
    Matrix dv(n, 10);
    AttentionBackward backward;
    backward(one_thread, shape, segments, rows_of(q), rows_of(k), rows_of(v), twin.queries,
             rows_of(dout), rows_of(dq), rows_of(dk), rows_of(dv));
    std::vector<double> wide_q = widen(q);
    std::vector<double> wide_k = widen(k);
    std::vector<double> wide_v = widen(v);
    const auto loss = [&] { return twin.loss(wide_q, wide_k, wide_v, dout); };
    const auto slope_of = [&](std::vector<double>& m, Index width) {
      return [&, width](Index i, Index j) { return slope(m, i * width + j, loss); };
    };
    expect_close(dq, slope_of(wide_q, 20), 3e-6, "dq");
    expect_close(dk, slope_of(wide_k, 10), 3e-6, "dk");
    expect_close(dv, slope_of(wide_v, 10), 3e-6, "dv");
  }
}

/// The loss of SoftCrossEntropy in float64, with W + s B A.
class SoftTwin {
 public:
  static constexpr Index n = 7;
  static constexpr Index d = 6;
  static constexpr Index vocabulary = 1100;  // more than a block
  static constexpr Index rank = 2;
  static constexpr double scaling = 1.5;

  SoftTwin() {
    for (Index i = 0; i < n; ++i) {
      const bool is_label = i % 3 == 0;
      for (const Index token : is_label ? std::vector<Index>{i * 150}
                                        : std::vector<Index>{i, 400 + i, 1023, 1024, 1099}) {
        targets.tokens.push_back(static_cast<std::int32_t>(token));
        targets.probabilities.push_back(is_label ? 1.0F : i == 2 ? 0.2F : 0.15F);
      }
      targets.begin.push_back(static_cast<std::int64_t>(targets.tokens.size()));
      weight.push_back(0.25F + 0.5F * static_cast<float>(i));
    }
  }

  [[nodiscard]] double loss_of(Index i) const {
    std::vector<double> z(static_cast<std::size_t>(vocabulary));
    for (Index t = 0; t < vocabulary; ++t) {
      const double x = logit(i, t);
      z[static_cast<std::size_t>(t)] = cap > 0.0 ? cap * std::tanh(x / cap) : x;
    }
    double sum = 0.0;
    for (const double value : z) sum += std::exp(value);
    double rest = 1.0;
    double rest_of_q = 1.0;
    double loss = 0.0;
    for (auto j = targets.begin[static_cast<std::size_t>(i)];
         j < targets.begin[static_cast<std::size_t>(i) + 1]; ++j) {
      const auto at_token = static_cast<std::size_t>(targets.tokens[static_cast<std::size_t>(j)]);
      const auto p = static_cast<double>(targets.probabilities[static_cast<std::size_t>(j)]);
      const double q = std::exp(z[at_token]) / sum;
      loss -= p * std::log(q);
      rest -= p;
      rest_of_q -= q;
    }
    if (rest > 1e-6) loss -= rest * std::log(rest_of_q);
    return loss;
  }
  [[nodiscard]] double loss() const {
    double sum = 0.0;
    for (Index i = 0; i < n; ++i) {
      sum += static_cast<double>(weight[static_cast<std::size_t>(i)]) * loss_of(i);
    }
    return sum;
  }

  Matrix h = random_matrix(n, d, "h");
  Matrix w = random_matrix(vocabulary, d, "w");
  Matrix a = random_matrix(rank, d, "a");
  Matrix b = random_matrix(vocabulary, rank, "b");
  std::vector<double> wide_h = widen(h);
  std::vector<double> wide_b = widen(b);
  SoftTargets targets;
  std::vector<float> weight;
  double cap = 0.0;

 private:
  [[nodiscard]] double logit(Index i, Index t) const {
    double sum = 0.0;
    for (Index k = 0; k < d; ++k) {
      double entry = at(w, t, k);
      for (Index r = 0; r < rank; ++r) {
        entry += scaling * wide_b[static_cast<std::size_t>(t * rank + r)] * at(a, r, k);
      }
      sum += wide_h[static_cast<std::size_t>(i * d + k)] * entry;
    }
    return sum;
  }
};

class CappedSoftCrossEntropy : public testing::TestWithParam<double> {};

TEST_P(CappedSoftCrossEntropy, HasTheLossAndTheSlopesOfItsTwin) {
  SoftTwin twin;
  twin.cap = GetParam();
  const Packed<float> packed(twin.w);
  const LowRankUpdate::Part part{rows_of(std::as_const(twin.a)), rows_of(std::as_const(twin.b)),
                                 SoftTwin::scaling, 0};
  const LowRankUpdate update(one_thread, std::span(&part, 1));
  std::vector<double> loss(SoftTwin::n);
  Matrix dh(SoftTwin::n, SoftTwin::d);
  UpdateGradient sum = update.zero_gradient();
  SoftCrossEntropy soft;
  soft(one_thread, rows_of(std::as_const(twin.h)), packed.view, update, twin.targets, twin.weight,
       loss, rows_of(dh), sum, static_cast<float>(twin.cap));
  for (Index i = 0; i < SoftTwin::n; ++i) {
    EXPECT_NEAR(loss[static_cast<std::size_t>(i)], twin.loss_of(i), 1e-5);
  }
  expect_close(
      dh,
      [&](Index i, Index j) {
        return slope(twin.wide_h, i * SoftTwin::d + j, [&] { return twin.loss(); });
      },
      1e-5, "dh");
  // Every hundredth token, and those with probabilities of their own.
  for (const Index token : {0, 100, 150, 401, 450, 900, 1023, 1024, 1099}) {
    for (Index r = 0; r < SoftTwin::rank; ++r) {
      EXPECT_NEAR(at(sum.b.front(), r, token),
                  slope(twin.wide_b, token * SoftTwin::rank + r, [&] { return twin.loss(); }), 2e-5)
          << token;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Caps, CappedSoftCrossEntropy, testing::Values(0.0, 2.0, 30.0));

}  // namespace
}  // namespace d2c::ops
