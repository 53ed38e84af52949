#pragma once

#include <span>
#include <vector>

#include "d2c/model/config.hpp"

#include "device/adapter.hpp"
#include "device/backend.hpp"
#include "device/pass_tables.hpp"
#include "device/rotary.hpp"
#include "device/weights.hpp"

namespace d2c::eval::device {

/// The forward pass of model::Decoder for the rows of PassTables, on a device.
///
/// The residual stream, sums, attention and losses are float32. What products with the model's
/// matrices read, and updates read with them, is rounded to BF16 where these matrices are.
class ForwardPass {
 public:
  /// All outlive this object.
  ForwardPass(Backend& backend, const model::ModelConfig& config, const Sites& sites,
              const Weights& weights);

  /// Returns when the device has its work, not the results.
  void start(const PassTables& tables);
  /// Waits for them. @return [targets] negative log likelihood, nats
  [[nodiscard]] std::vector<double> finish();

 private:
  /// PassTables on the device.
  struct Tables {
    Memory& memory;
    Array<std::int32_t> ids{memory}, positions{memory}, chain_rows{memory};
    Array<std::int32_t> wanted{memory}, target_wanted{memory}, labels{memory};
    Array<std::int64_t> chain_begin{memory};
    Array<Tile> row_tiles{memory}, wanted_tiles{memory}, target_tiles{memory};
    Array<Update> updates{memory};  ///< [sites, adapters]
  };
  struct Buffers {
    Memory& memory;
    bool is_bf16;
    Array<float> x{memory}, kept{memory};  ///< residual stream; of the wanted rows
    Array<float> qkv{memory}, keys{memory}, gate_up{memory}, out{memory}, u{memory}, logits{memory};
    OperandArray h{memory, is_bf16}, kept_h{memory, is_bf16}, attended{memory, is_bf16};
    OperandArray gate{memory, is_bf16}, predicted{memory, is_bf16};
    Array<LogitSum> sums{memory};
  };
  /// Rows in work: all, the wanted ones, or targets.
  struct RowSet {
    Index n = 0;
    const Tile* tiles = nullptr;
    Index n_tiles = 0;
  };
  /// A linear layer with its bias and the adapters' updates.
  struct Linear {
    Values w;
    const float* bias;
    std::size_t site;
    Index d_in;
    Index d_out;
  };

  void upload(const PassTables& tables);
  /// u = x Aᵀ for the updates of a site. @return null if there are none
  [[nodiscard]] const float* project(std::size_t site, const RowSet& rows, Values x, Index d_in);
  /// y += u Bᵀ, for columns [first, first + width)
  void expand(std::size_t site, const RowSet& rows, const float* u, Index first, Index width,
              float* y);
  /// y = x wᵀ + bias + updates, or y += the same
  void apply(const Linear& linear, const RowSet& rows, Values x, bool adds, float* y);
  /// x += what the last linear layer of attention or MLP makes of `from`, normalised and scaled
  /// where the model does.
  void add_output(const Linear& linear, const Weights::Norm& norm, const RowSet& rows, Values from,
                  float* x);
  void take_rows(Index n, Values from, const std::int32_t* rows, float factor, Values to);
  /// h = norm(x), or x itself where the model does not normalise before.
  void prepare(const Weights::Norm& norm, const RowSet& rows, const float* x, Values h);
  void normalise_jointly(const Weights::Layer& layer, float* qkv);
  void place_heads(std::size_t index, const Heads& heads);
  [[nodiscard]] Values attend(std::size_t index, const Heads& heads, const RowSet& rows,
                              const std::int32_t* queries);
  void add_mlp(std::size_t index, const RowSet& rows, Values h, float* x);
  [[nodiscard]] float* embed();
  /// @return the residual stream of the rows that are wanted afterwards
  [[nodiscard]] float* layer(std::size_t index, float* x);
  void predict(float* x);
  void add_logits(Values predicted, const RowSet& targets, const float* u);

  Backend& backend_;
  const model::ModelConfig& config_;
  const Sites& sites_;
  const Weights& weights_;
  Rotary rotary_;
  Tables tables_;
  Buffers buffers_;
  // Of the pass in work.
  RowSet all_, wanted_, targets_;
  std::size_t n_adapters_ = 0;
  std::vector<std::int32_t> ranks_;  ///< [sites] largest of the adapters
  bool is_long_ = false;
};

/// Bytes of buffers for each row of a pass, those of a target included.
/// @param joint_rank  largest sum of the ranks of modules that read the same input
[[nodiscard]] std::size_t bytes_per_row(const model::ModelConfig& config, bool is_bf16,
                                        Index joint_rank);

}  // namespace d2c::eval::device
