#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/eval/loss_engine.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/model/input_sites.hpp"
#include "d2c/model/model.hpp"

#include "device/kernels/updates.hpp"
#include "device/memory.hpp"

namespace d2c::eval::device {

/// Where the updates of an adapter apply: model::input_sites(), in that order.
class Sites {
 public:
  explicit Sites(const model::ModelConfig& config);

  [[nodiscard]] std::size_t size() const { return sites_.size(); }
  [[nodiscard]] const model::InputSite& operator[](std::size_t site) const { return sites_[site]; }
  [[nodiscard]] Index d_out(const std::string& module) const { return d_out_.at(module); }

  static constexpr std::size_t embedding = 0;
  [[nodiscard]] std::size_t head() const { return sites_.size() - 1; }

 private:
  std::vector<model::InputSite> sites_;
  std::map<std::string, Index> d_out_;
};

/// An adapter in the memory of a device, and as the CPU reads it.
class Adapter final : public EngineAdapter {
 public:
  /// @param on_cpu  the same adapter, which has been checked against the model
  Adapter(Memory& memory, const Sites& sites, const lora::FactorMap& factors, AdapterHandle on_cpu);

  [[nodiscard]] const std::vector<Update>& updates() const { return updates_; }
  [[nodiscard]] const AdapterHandle& on_cpu() const { return on_cpu_; }

 private:
  Array<float> factors_;
  std::vector<Update> updates_;  ///< [sites]
  AdapterHandle on_cpu_;
};

}  // namespace d2c::eval::device
