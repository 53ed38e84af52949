#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "d2c/model/model.hpp"
#include "d2c/model/prepared_adapter.hpp"
#include "d2c/model/token_forest.hpp"
#include "d2c/ops/rows.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::model {

/// Modules that read the same input: q, k and v of a layer, gate and up, and others alone.
struct InputSite {
  std::vector<std::string> modules;
  Index d_in = 0;
  bool one_hot = false;  ///< the embedding, which reads tokens
};
/// All of a model: the embedding first.
[[nodiscard]] std::vector<InputSite> input_sites(const ModelConfig& config);

/// A forward pass that shows what modules read, in float32.
///
/// The bits of a row depend on the model, the adapter and the tokens up to it alone, as in Decoder.
class InputPass {
 public:
  /// @param model  outlives this object
  explicit InputPass(const Model& model);
  ~InputPass();
  InputPass(const InputPass&) = delete;
  InputPass& operator=(const InputPass&) = delete;

  /// @param site  index into input_sites()
  /// @param x     [tokens, d_in] of every token of the forest
  using Show = std::function<void(std::size_t site, ops::ConstRows x)>;

  /// Shows every site but that of the embedding, which reads the tokens themselves.
  /// @param adapter  null = the base model alone
  /// @throws InputError as Decoder::nll
  void operator()(ops::ThreadTeam& threads, const TokenForest& forest,
                  const PreparedAdapter* adapter, const Show& show);

 private:
  class Workspace;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace d2c::model
