#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c {

/// The values used last, up to a sum of their sizes. Any thread. A value that is dropped lives on
/// where it is in use.
template <class Key, class Value>
class RecentCache {
 public:
  /// @param most  sum of the sizes that insert() is told, in whatever unit the caller counts
  explicit RecentCache(std::uint64_t most) : most_(most) {}

  /// Null if it is not there.
  [[nodiscard]] std::shared_ptr<const Value> find(const Key& key) {
    const std::scoped_lock lock(mutex_);
    const auto place = places_.find(key);
    if (place == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, place->second);
    return entries_.front().value;
  }

  /// Drops those not used for longest until there is room. A value that is larger than all the
  /// room, or whose key is there, is not taken.
  void insert(const Key& key, std::shared_ptr<const Value> value, std::uint64_t size) {
    D2C_EXPECTS(value != nullptr);
    const std::scoped_lock lock(mutex_);
    if (size > most_ || places_.contains(key)) return;
    while (size_ + size > most_) {
      size_ -= entries_.back().size;
      places_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({key, std::move(value), size});
    places_.emplace(key, entries_.begin());
    size_ += size;
  }

  /// Sum of the sizes of what is there.
  [[nodiscard]] std::uint64_t size() const {
    const std::scoped_lock lock(mutex_);
    return size_;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Value> value;
    std::uint64_t size = 0;
  };

  std::uint64_t most_;
  std::uint64_t size_ = 0;
  std::list<Entry> entries_;  ///< the one used last comes first
  std::map<Key, typename std::list<Entry>::iterator> places_;
  mutable std::mutex mutex_;
};

}  // namespace d2c
