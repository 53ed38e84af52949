#pragma once

#include <cstdint>
#include <string>

namespace d2c {

/// Is told what a job does while it does it. This one says nothing to nobody. Any thread.
class Progress {
 public:
  Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  virtual ~Progress() = default;

  /// Work of another kind begins; that before has ended.
  /// @param what   in a few words: "search auto, K = 5"
  /// @param unit   what is counted: "evaluations"; empty = nothing
  /// @param total  of what is counted, at most; 0 = not known
  virtual void begin(const std::string& /*what*/, const std::string& /*unit*/ = {},
                     std::int64_t /*total*/ = 0) {}
  /// More is done.
  virtual void advance(std::int64_t /*done*/) {}
  /// How it stands, in a few words: "best 1.234".
  virtual void note(const std::string& /*text*/) {}
  /// What only those want to know who want to know everything: a line.
  virtual void detail(const std::string& /*line*/) {}

  /// For who has nobody to tell.
  [[nodiscard]] static Progress& silent() {
    static Progress none;
    return none;
  }
};

}  // namespace d2c
