#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "d2c/lora/factors.hpp"

namespace d2c::job {

/// The factors used last, up to a number of bytes. A single entry may be larger than that; then it
/// is not kept.
class FactorCache {
 public:
  using Key = std::pair<int, int>;  ///< (adapter, module)

  explicit FactorCache(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}

  /// Null if it is not there.
  [[nodiscard]] std::shared_ptr<const lora::Factors> find(Key key);
  void insert(Key key, std::shared_ptr<const lora::Factors> factors);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  using Entry = std::pair<Key, std::shared_ptr<const lora::Factors>>;

  std::uint64_t most_bytes_;
  std::uint64_t bytes_ = 0;
  std::list<Entry> entries_;  ///< the one used last comes first
  std::map<Key, std::list<Entry>::iterator> places_;
  std::mutex mutex_;
};

}  // namespace d2c::job
