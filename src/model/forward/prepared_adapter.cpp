#include "d2c/model/prepared_adapter.hpp"

#include <set>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/model/model.hpp"

#include "forward/update_places.hpp"

namespace d2c::model {
namespace {

/// Fits modules of an adapter to those of the model, and notes which ones found their place.
class Matcher {
 public:
  Matcher(ops::ThreadTeam& threads, const lora::FactorMap& modules)
      : threads_(threads), modules_(modules) {}

  /// The joint update of layers that read the same input of size d_in.
  ops::LowRankUpdate update(const Members& members, Index d_in) {
    std::vector<ops::LowRankUpdate::Part> parts;
    Index column = 0;
    for (const Member& member : members) {
      if (const auto found = modules_.find(member.module); found != modules_.end()) {
        const lora::Factors& factors = found->second;
        check_shape(member.module, factors, member.d_out, d_in);
        parts.push_back(
            {ops::rows_of(factors.a), ops::rows_of(factors.b), factors.scaling, column});
        placed_.insert(member.module);
      }
      column += member.d_out;
    }
    return {threads_, parts};
  }

  void refuse_the_rest() const {
    for (const auto& [module, factors] : modules_) {
      if (placed_.contains(module)) continue;
      throw InputError({{}, module},
                       {"the adapter targets a module that the model does not have",
                        "its update would be lost", "use an adapter that was made for this model"});
    }
  }

 private:
  static void check_shape(const std::string& module, const lora::Factors& factors, Index d_out,
                          Index d_in) {
    if (factors.d_out() == d_out && factors.d_in() == d_in && factors.b.cols() == factors.rank()) {
      return;
    }
    throw ShapeMismatch({{}, module},
                        {fmt::format("the adapter has A [{}, {}] and B [{}, {}]", factors.a.rows(),
                                     factors.a.cols(), factors.b.rows(), factors.b.cols()),
                         fmt::format("the model's layer is [{}, {}]", d_out, d_in),
                         "use an adapter that was made for this model"},
                        {factors.d_out(), factors.d_in()}, {d_out, d_in});
  }

  ops::ThreadTeam& threads_;
  const lora::FactorMap& modules_;
  std::set<std::string> placed_;
};

}  // namespace

PreparedAdapter::PreparedAdapter(ops::ThreadTeam& threads, const ModelConfig& config,
                                 const lora::FactorMap& modules) {
  layers.resize(static_cast<std::size_t>(config.n_layers));
  Matcher matcher(threads, modules);
  for_each_update(config, [&](UpdatePlace place, Index layer, const Members& members, Index d_in) {
    update_at(*this, place, layer) = matcher.update(members, d_in);
  });
  matcher.refuse_the_rest();
  for (const auto& [module, factors] : modules) ranks.emplace(module, factors.rank());
}

}  // namespace d2c::model
