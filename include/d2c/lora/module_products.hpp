#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "d2c/lora/factors.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::lora {

/// What adapters are compared by.
enum class Kind {
  /// <dW_i, dW_j>_F = s_i s_j trace((A_j A_i^T)(B_i^T B_j)). No [d_out, d_in] product is formed.
  update,
  /// <A_i, A_j>_F + <B_i, B_j>_F, entry by entry, where the smaller rank counts and scalings do
  /// not.
  /// Unlike `update` this depends on how an update is factorised: it serves comparisons with
  /// methods
  /// that flatten adapters to vectors.
  factors,
};

/// Sizes of a module's weight.
struct Shape {
  Index d_in = 0;
  Index d_out = 0;
  [[nodiscard]] Index width() const { return d_in + d_out; }
  [[nodiscard]] bool operator==(const Shape&) const = default;
};

/// The factors of one module of one adapter as rows of floats: row k is component k of the low-rank
/// space, (A[k, :], B[:, k]), [rank, d_in + d_out]. The memory belongs to somebody else.
struct Components {
  const float* rows = nullptr;
  Index rank = 0;  ///< 0 = the adapter lacks the module
  double scaling = 1.0;
};

/// Writes factors as rows of components. @param rows  [rank, d_in + d_out]
void write_components(const Factors& factors, std::span<float> rows);

/// Inner products of one module of some adapters, made ready once (the hosts), with others that
/// come by (the visitors).
///
/// A product depends on its own pair alone, bit for bit: not on who else is there.
class ModuleProducts {
 public:
  /// Whether the product of a host and a visitor is wanted, by their positions.
  using Wanted = std::function<bool(std::size_t host, std::size_t visitor)>;
  /// Takes the product of a host and a visitor.
  using Take = std::function<void(std::size_t host, std::size_t visitor, double product)>;

  ModuleProducts() = default;
  ModuleProducts(const ModuleProducts&) = delete;
  ModuleProducts& operator=(const ModuleProducts&) = delete;
  virtual ~ModuleProducts() = default;

  /// Calls `take` once for each wanted pair of which both have the module.
  virtual void multiply(std::span<const Components> visitors, const Wanted& wanted,
                        const Take& take) = 0;
};

/// @param threads  that may help; outlive the result
/// @param hosts    factors of the module, in the order in which Take and Wanted count them; null =
///                 the adapter lacks the module
/// @pre all factors have this shape; that of visitors is the same
[[nodiscard]] std::unique_ptr<ModuleProducts> make_products(ops::ThreadTeam& threads, Kind kind,
                                                            Shape shape,
                                                            std::span<const Factors* const> hosts);

/// Factors with the entries of smallest magnitude of A and of B set to zero.
/// @param density  share of the entries of each matrix that is kept, in (0, 1]; equal ones stay
/// together
[[nodiscard]] Factors trimmed(const Factors& factors, double density);

/// <dW_i, dW_j> / sqrt(|dW_i|^2 |dW_j|^2), within [-1, 1]; 0 if one of the updates is zero.
[[nodiscard]] double cosine(double inner, double squared_norm_i, double squared_norm_j);

}  // namespace d2c::lora
