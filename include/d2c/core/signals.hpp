#pragma once

namespace d2c {

/// Turns SIGUSR1, SIGTERM and the first SIGINT into a request to stop at the next good moment, for
/// the life of this object. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether a signal has come since construction.
  [[nodiscard]] static bool requested();
};

}  // namespace d2c
