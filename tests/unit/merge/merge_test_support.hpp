#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <gtest/gtest.h>

#include "d2c/merge/merge.hpp"
#include "d2c/tensor/dtype.hpp"
#include "d2c/tensor/eigen.hpp"

namespace d2c::merge::test {

using Dense = Eigen::MatrixXd;

inline float rounded(float value, DType type) {
  switch (type) {
    case DType::bf16:
      return float_from_bf16(bf16_from_float(value));
    case DType::f16:
      return float_from_f16(f16_from_float(value));
    default:
      return value;
  }
}

/// Factors with standard normal entries, rounded to `type`.
inline lora::Factors random_factors(std::mt19937& rng, Index d_out, Index d_in, Index rank,
                                    double scaling, DType type = DType::f32) {
  std::normal_distribution<float> normal;
  lora::Factors f{Matrix(rank, d_in), Matrix(d_out, rank), scaling};
  for (float& x : f.a.values()) x = rounded(normal(rng), type);
  for (float& x : f.b.values()) x = rounded(normal(rng), type);
  return f;
}

/// scaling * B A in double.
inline Dense delta(const lora::Factors& f) {
  return f.scaling * (as_eigen(f.b).cast<double>() * as_eigen(f.a).cast<double>());
}

/// The moment of `n` random inputs that lie mostly in a few directions, as rows or summed.
inline lora::InputMoment random_moment(std::mt19937& rng, Index n, Index d_in,
                                       lora::MomentForm form) {
  std::normal_distribution<float> normal;
  std::vector<float> scales(static_cast<std::size_t>(d_in));
  for (float& scale : scales) scale = std::exp(normal(rng));
  Matrix x(n, d_in);
  std::vector<float> weights(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    const float common = normal(rng);
    for (Index j = 0; j < d_in; ++j)
      x(i, j) = scales[static_cast<std::size_t>(j)] * (common + normal(rng));
    weights[static_cast<std::size_t>(i)] = static_cast<float>(1 + i % 3);
  }
  lora::InputMomentSum sum(form, d_in);
  sum.add(ops::rows_of(std::as_const(x)), weights);
  return sum.finish();
}

/// A merge problem that owns its adapters.
struct Problem {
  Index d_out = 0;
  Index d_in = 0;
  std::vector<lora::Factors> factors = {};
  std::vector<double> weights = {};
  std::vector<lora::InputMoment> inputs = {};         ///< empty = all zero
  mutable std::vector<lora::InputMoment> zeros = {};  ///< what members() shows then

  [[nodiscard]] std::vector<Member> members() const {
    static const std::string names[] = {"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"};
    zeros.clear();
    for (const lora::Factors& f : factors) zeros.push_back({.d_in = f.d_in(), .values = {}});
    std::vector<Member> list;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      list.push_back({&factors[i], weights[i], i, names[i % 8],
                      inputs.size() == factors.size() ? &inputs[i] : &zeros[i]});
    }
    return list;
  }
  /// sum_i w_i s_i B_i A_i
  [[nodiscard]] Dense sum() const {
    Dense total = Dense::Zero(d_out, d_in);
    for (std::size_t i = 0; i < factors.size(); ++i) total += weights[i] * delta(factors[i]);
    return total;
  }
  /// sum_i |w_i s_i| ||B_i|| ||A_i||: what rounding errors of the sum are relative to.
  [[nodiscard]] double scale() const {
    double total = 0;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      total += std::abs(weights[i] * factors[i].scaling) * as_eigen(factors[i].a).norm() *
               as_eigen(factors[i].b).norm();
    }
    return total;
  }
  /// Prunes nothing where no density is given.
  [[nodiscard]] lora::Factors merged(std::string_view method, Options options = {}) const {
    if (options.density == 0) options.density = 1;
    return find_method(method).function("m", members(), options);
  }
};

enum class Ranks { equal, mixed };

/// Random shapes, ranks, scalings, signs of weights and element types.
inline Problem random_problem(unsigned seed, Ranks ranks) {
  std::mt19937 rng(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(rng);
  };
  const std::array types = {DType::f32, DType::bf16, DType::f16};
  Problem p;
  p.d_out = pick(3, 40);
  p.d_in = pick(3, 40);
  const int members = pick(1, 6);
  const int common_rank = pick(1, 6);
  for (int i = 0; i < members; ++i) {
    const int rank = ranks == Ranks::equal ? common_rank : pick(1, 9);
    const double alpha = pick(1, 32);
    const double scaling = pick(0, 1) == 0 ? alpha / rank : alpha / std::sqrt(rank);
    p.factors.push_back(random_factors(rng, p.d_out, p.d_in, rank, scaling,
                                       types[static_cast<std::size_t>(pick(0, 2))]));
    p.weights.push_back(pick(-10, 20) / 10.0);
  }
  for (int i = 0; i < members; ++i) {
    const Index n = pick(0, 30);
    p.inputs.push_back(random_moment(rng, n, p.d_in, lora::moment_form(n, p.d_in)));
  }
  return p;
}

/// Runs a check on many random problems and names the seed of one that fails.
template <typename Check>
void on_random_problems(Ranks ranks, Check check) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    check(random_problem(seed, ranks));
  }
}

inline Ranks ranks_of(const Method& method) {
  return method.mixed_ranks ? Ranks::mixed : Ranks::equal;
}

constexpr double eps = 0x1p-24;  ///< float unit roundoff: results are stored as float

/// Thin SVD of a dense matrix, in double: the reference of the low-rank methods.
struct Svd {
  Dense u;
  Eigen::VectorXd s;  ///< descending
  Dense v;
};
Svd dense_svd(const Dense& m);

struct Truncation {
  Dense matrix;             ///< best approximation
  double error = 0;         ///< its Frobenius distance
  double relative_gap = 0;  ///< (s_k - s_{k+1}) / s_1: what makes it well conditioned
};
Truncation dense_truncated_svd(const Dense& m, Index rank);

}  // namespace d2c::merge::test
