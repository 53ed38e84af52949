#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "d2c/eval/loss_engine.hpp"

namespace d2c::eval {

/// The adapter of a list that was made ready last, by the number that the list knows it by. Threads
/// that ask for the same adapter wait for who came first; others make theirs ready meanwhile.
class RecentAdapter {
 public:
  /// @param prepare  makes one ready. Any thread
  explicit RecentAdapter(std::function<AdapterHandle(Index adapter)> prepare)
      : prepare_(std::move(prepare)) {}

  [[nodiscard]] AdapterHandle operator()(Index adapter) {
    std::shared_ptr<Entry> entry;
    {
      const std::scoped_lock lock(choosing_);
      if (recent_ == nullptr || recent_->adapter != adapter) {
        recent_.reset();
        recent_ = std::make_shared<Entry>(adapter);
      }
      entry = recent_;
    }
    std::call_once(entry->once, [&] { entry->handle = prepare_(adapter); });
    return entry->handle;
  }

 private:
  struct Entry {
    explicit Entry(Index number) : adapter(number) {}
    Index adapter;
    std::once_flag once;
    AdapterHandle handle;
  };

  std::function<AdapterHandle(Index adapter)> prepare_;
  std::mutex choosing_;
  std::shared_ptr<Entry> recent_;
};

}  // namespace d2c::eval
