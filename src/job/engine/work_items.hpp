#pragma once

#include <optional>
#include <thread>

#include "d2c/comm/work_queues.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/countdown.hpp"

namespace d2c::job {

/// Hands out the indices of a list, as eval::UnitSource does its units.
class WorkItems {
 public:
  WorkItems() = default;
  WorkItems(const WorkItems&) = delete;
  WorkItems& operator=(const WorkItems&) = delete;
  virtual ~WorkItems() = default;
  [[nodiscard]] virtual std::optional<Index> take(Index least) = 0;
  [[nodiscard]] virtual std::optional<Index> fetch() { return take(1); }
};

/// Items that are this rank's alone.
class OwnItems final : public WorkItems {
 public:
  explicit OwnItems(std::size_t n) : left_(n) {}
  [[nodiscard]] std::optional<Index> take(Index least) override { return left_.take(least); }

 private:
  eval::Countdown left_;
};

/// Items that ranks take over from each other.
class SharedItems final : public WorkItems {
 public:
  /// To be made by the thread that speaks with other ranks.
  explicit SharedItems(comm::WorkQueues& queues) : queues_(queues) {}

  [[nodiscard]] std::optional<Index> take(Index least) override {
    if (std::this_thread::get_id() == speaker_) queues_.serve();
    return queues_.take_own(static_cast<std::uint32_t>(least));
  }
  [[nodiscard]] std::optional<Index> fetch() override {
    const Stopwatch watch;
    const auto item = queues_.next();
    waited_ += watch.seconds();
    return item;
  }
  [[nodiscard]] double seconds_waited() const { return waited_; }

 private:
  comm::WorkQueues& queues_;
  std::thread::id speaker_ = std::this_thread::get_id();
  double waited_ = 0.0;
};

}  // namespace d2c::job
