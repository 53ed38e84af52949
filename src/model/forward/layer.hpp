#pragma once

#include <cstddef>
#include <span>

#include "d2c/core/cpu_time.hpp"
#include "d2c/model/config.hpp"
#include "d2c/model/input_sites.hpp"
#include "d2c/model/phases.hpp"
#include "d2c/model/prepared_adapter.hpp"
#include "d2c/model/token_forest.hpp"
#include "d2c/model/weights.hpp"
#include "d2c/ops/thread_team.hpp"

#include "forward/activations.hpp"
#include "forward/rotary_tables.hpp"
#include "forward/update_places.hpp"

namespace d2c::model {

/// What the layers of one pass share.
struct Pass {
  const ModelConfig& config;
  ops::ThreadTeam& threads;
  const RotaryTables& rotary;         ///< cover the positions
  std::span<const std::int32_t> ids;  ///< [tokens] that pass
  std::span<const Index> positions;   ///< [tokens]
  std::span<const Segment> segments;  ///< what they attend to
  std::span<const Index> places{};    ///< [tokens] rows of the segments; empty = 0, 1, ...
  PhaseSeconds* phases = nullptr;     ///< null = not recorded
  /// [layers] laid out for the segments, with the keys of tokens that have passed before; empty =
  /// all tokens pass now.
  std::span<ops::KeyMemory> kept{};
  const ShowInputs* inputs = nullptr;  ///< null = nobody looks
};

/// Adds the processor time from construction to destruction to a phase of a pass.
class Timed {
 public:
  Timed(const Pass& pass, Phase phase)
      : total_(pass.phases == nullptr ? nullptr : &(*pass.phases)[static_cast<std::size_t>(phase)]),
        start_(total_ == nullptr ? 0.0 : thread_cpu_seconds()) {}
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() {
    if (total_ != nullptr) *total_ += thread_cpu_seconds() - start_;
  }

 private:
  double* total_;
  double start_;
};

/// x = scaled embedding of the ids. @param x  [tokens, hidden]
void embed(const Pass& pass, const Weights& weights, const PreparedAdapter* adapter,
           Activations& activations, ops::Rows x);

/// One decoder layer under one adapter.
struct Layer {
  const LayerWeights& weights;
  const PreparedAdapter::Layer& updates;  ///< empty = the base model alone
  LayerKind kind = {};
  std::size_t index = 0;
  LayerRecord* record = nullptr;  ///< null = no backward pass follows
};

/// x += attention(norm(x)); x += mlp(norm(x)), or both from the same norm(x). Norms stand before or
/// after attention and MLP, or in both places.
///
/// @param x       [tokens, hidden] the residual stream
/// @param wanted  rows of the forest whose output is wanted, ascending
/// @return        [wanted.size(), hidden] the output, in the first rows of x
[[nodiscard]] ops::Rows layer_forward(const Pass& pass, const Layer& layer, ops::Rows x,
                                      std::span<const Index> wanted, Activations& activations);

/// Multiplies queries, or their derivatives, as RopeConfig::query_growth has it.
void grow_queries(const Pass& pass, const Layer& layer, ops::Rows q);

/// Heads of attention in a layer.
[[nodiscard]] ops::AttentionShape attention_shape(const ModelConfig& config, const LayerKind& kind);

/// y = norm(x); y may be x
void normalise(const Pass& pass, const NormWeights& weights, ops::ConstRows x, ops::Rows y);

}  // namespace d2c::model
