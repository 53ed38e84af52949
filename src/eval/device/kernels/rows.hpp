#pragma once

#include "d2c/ops/activation.hpp"

#include "device/kernels/lanes.hpp"

/// Kernels whose task is a row.
namespace d2c::eval::device {

/// x = the embedding of the row's token.
struct Embed {
  Values table;  ///< [vocabulary, width]
  const std::int32_t* ids;
  Index width;
  float* x;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    lanes.spread(width, [&](Index i) { x[row * width + i] = table.get(ids[row] * width + i); });
  }
};

/// What a norm makes of one row.
struct RowNorm {
  const float* weight;  ///< [width]
  const float* bias;    ///< [width], or null
  float eps;
  bool is_centred;  ///< LayerNorm, else RMSNorm

  /// Calls put(i, value) for each value of the normalised row.
  template <class Lanes, class Put>
  D2C_KERNEL void operator()(const Lanes& lanes, const float* x, Index width, Put put) const {
    const auto n = static_cast<float>(width);
    const float centre =
        is_centred ? sum_of(lanes, width, [&](Index i) { return x[i]; }) / n : 0.0F;
    const float squares = sum_of(lanes, width, [&](Index i) {
      const float difference = x[i] - centre;
      return difference * difference;
    });
    const float factor = 1.0F / sqrtf(squares / n + eps);
    lanes.spread(width, [&](Index i) {
      const float value = weight[i] * ((x[i] - centre) * factor);
      put(i, bias == nullptr ? value : value + bias[i]);
    });
  }
};

/// y = norm(x); y may be x.
struct Normalise {
  RowNorm norm;
  const float* x;
  Index stride;
  Index width;
  Values y;
  Index y_stride;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    norm(lanes, x + row * stride, width,
         [&](Index i, float value) { y.set(row * y_stride + i, value); });
  }
};

/// x += factor norm(y)
struct AddNormalised {
  RowNorm norm;
  const float* y;
  Index width;
  float factor;
  float* x;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    norm(lanes, y + row * width, width,
         [&](Index i, float value) { x[row * width + i] += factor * value; });
  }
};

/// x += factor y
struct AddScaled {
  const float* y;
  Index width;
  float factor;
  float* x;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    lanes.spread(width, [&](Index i) { x[row * width + i] += factor * y[row * width + i]; });
  }
};

/// y += bias
struct AddBias {
  const float* bias;
  Index width;
  float* y;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    lanes.spread(width, [&](Index i) { y[row * width + i] += bias[i]; });
  }
};

/// y_i = factor x_rows[i]; without rows y_i = factor x_i
struct TakeRows {
  Values x;
  const std::int32_t* rows;  ///< or null
  Index width;
  float factor;
  Values y;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index i) const {
    const Index row = rows == nullptr ? i : rows[i];
    lanes.spread(width, [&](Index c) { y.set(i * width + c, factor * x.get(row * width + c)); });
  }
};

/// out = act(gate) up
struct Gate {
  const float* gate_up;  ///< [rows, 2 width]
  Index width;
  ops::Activation activation;
  Values out;

  [[nodiscard]] D2C_KERNEL float act(float x) const {
    constexpr float inverse_sqrt_2 = 0.70710678118654752F;
    constexpr float sqrt_2_over_pi = 0.79788456080286536F;
    switch (activation) {
      case ops::Activation::silu:
        return x / (1.0F + expf(-x));
      case ops::Activation::gelu:
        return 0.5F * x * (1.0F + erff(x * inverse_sqrt_2));
      case ops::Activation::gelu_tanh:
        return 0.5F * x * (1.0F + tanhf(sqrt_2_over_pi * (x + 0.044715F * x * x * x)));
      case ops::Activation::relu:
        break;
    }
    return x > 0.0F ? x : 0.0F;
  }

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index row) const {
    const float* of_row = gate_up + row * 2 * width;
    lanes.spread(width,
                 [&](Index i) { out.set(row * width + i, act(of_row[i]) * of_row[width + i]); });
  }
};

/// What is known of the logits of a target: log(sum) + maximum is the logarithm of the sum of their
/// exponentials.
struct LogitSum {
  double sum = 0.0;
  float maximum = minus_infinity;
  float label_logit = 0.0F;
};

/// Adds a block of the vocabulary's logits to the sums of targets.
struct AddLogits {
  const float* logits;  ///< [targets, width]
  Index width;
  Index first_token;  ///< of the block
  const std::int32_t* labels;
  float cap;  ///< a logit z becomes cap tanh(z / cap); 0 = it stays
  LogitSum* sums;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index target) const {
    const float* z = logits + target * width;
    const auto logit = [&](Index i) { return cap > 0.0F ? cap * tanhf(z[i] / cap) : z[i]; };
    LogitSum& known = sums[target];
    const float maximum = fmaxf(known.maximum, largest_of(lanes, width, logit));
    const float added = sum_of(lanes, width, [&](Index i) { return expf(logit(i) - maximum); });
    lanes.once([&] {
      if (known.sum > 0.0) known.sum *= exp(double{known.maximum} - double{maximum});
      known.sum += double{added};
      known.maximum = maximum;
      const Index label = labels[target] - first_token;
      if (label >= 0 && label < width) known.label_logit = logit(label);
    });
  }
};

}  // namespace d2c::eval::device
