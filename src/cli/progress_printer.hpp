#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "d2c/core/progress.hpp"
#include "d2c/core/timer.hpp"

namespace d2c::cli {

enum class Verbosity { normal, verbose };

/// Tells on standard error what a job does: on a terminal in one line that is written anew, in a
/// file in lines with the time, every five seconds and after ten minutes every half minute. A
/// thread of its own speaks while the job is busy.
class ProgressPrinter final : public Progress {
 public:
  explicit ProgressPrinter(Verbosity verbosity);
  ~ProgressPrinter() override;

  void begin(const std::string& what, const std::string& unit, std::int64_t total) override;
  void advance(std::int64_t done) override;
  void note(const std::string& text) override;
  void detail(const std::string& line) override;
  /// A line that stays.
  void say(const std::string& line);

 private:
  [[nodiscard]] std::string status() const;
  [[nodiscard]] std::chrono::milliseconds pause() const;
  void speak();
  void print_line(const std::string& line);
  void show();
  void end_phase();

  Verbosity verbosity_;
  bool is_terminal_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  Stopwatch job_;
  Stopwatch phase_;
  std::string what_;
  std::string unit_;
  std::string note_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
  bool has_live_line_ = false;
  std::thread speaker_;
};

/// Columns of the terminal that a stream goes to; 0 = it is none.
[[nodiscard]] std::size_t terminal_columns(int descriptor);
/// Columns that tables on standard output may have.
[[nodiscard]] std::size_t output_columns();

/// "45 s", "3 min 20 s", "2 h 05 min"
[[nodiscard]] std::string duration_text(double seconds);
/// "12,345"
[[nodiscard]] std::string count_text(std::int64_t count);
/// A text in lines of at most `columns`, broken at spaces; all but the first are indented.
[[nodiscard]] std::string wrapped(const std::string& text, std::size_t columns);

}  // namespace d2c::cli
