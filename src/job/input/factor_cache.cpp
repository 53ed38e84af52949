#include "input/factor_cache.hpp"

namespace d2c::job {
namespace {

std::uint64_t size_of(const lora::Factors& factors) {
  return static_cast<std::uint64_t>(factors.a.size() + factors.b.size()) * sizeof(float);
}

}  // namespace

std::shared_ptr<const lora::Factors> FactorCache::find(Key key) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(key);
  if (place == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, place->second);
  return place->second->second;
}

void FactorCache::insert(Key key, std::shared_ptr<const lora::Factors> factors) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t bytes = size_of(*factors);
  if (bytes > most_bytes_ || places_.contains(key)) return;
  while (bytes_ + bytes > most_bytes_) {
    bytes_ -= size_of(*entries_.back().second);
    places_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(key, std::move(factors));
  places_[key] = entries_.begin();
  bytes_ += bytes;
}

}  // namespace d2c::job
