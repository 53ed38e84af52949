#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "d2c/model/input_sites.hpp"
#include "d2c/model/model.hpp"
#include "d2c/model/phases.hpp"
#include "d2c/model/prepared_adapter.hpp"
#include "d2c/model/token_forest.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::model {

/// The forward pass in float32, with its workspace, which grows to the largest batch seen.
///
/// The bits of a prediction depend on the model, the adapter and its own sequence alone: not on the
/// rest of the batch, on how prefixes are shared or on the number of threads.
class Decoder {
 public:
  /// @param model  outlives this object
  explicit Decoder(const Model& model);
  ~Decoder();

  /// Negative log likelihood of each target, in nats. [targets.size()]
  /// @param threads  that may help
  /// @param adapter  null = the base model alone
  /// @throws InputError for an id or label outside the vocabulary, or for a sequence that is too
  /// long for a position scaling that depends on the length
  [[nodiscard]] std::vector<double> nll(ops::ThreadTeam& threads, const TokenForest& forest,
                                        std::span<const Target> targets,
                                        const PreparedAdapter* adapter = nullptr);

  /// What each row predicts: the most probable tokens that follow its sequence. [rows.size()]
  /// @param most  tokens of each distribution at most
  [[nodiscard]] ops::SoftTargets most_probable(ops::ThreadTeam& threads, const TokenForest& forest,
                                               std::span<const Index> rows, Index most,
                                               const PreparedAdapter* adapter = nullptr);

  /// Shows what the modules of every site but that of the embedding, which reads the tokens
  /// themselves, read at every token of the forest.
  /// @throws InputError as nll()
  void show_inputs(ops::ThreadTeam& threads, const TokenForest& forest,
                   const PreparedAdapter* adapter, const ShowInputs& show);

  /// Bytes of activations that this object keeps, without the scratch of the threads
  /// (linear_scratch_bytes each): at most activation_bytes of the largest batch so far.
  [[nodiscard]] std::size_t workspace_bytes() const;

  /// Adds the times of the following calls to `seconds`; null = no longer.
  void record_phases(PhaseSeconds* seconds);

 private:
  class Workspace;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace d2c::model
