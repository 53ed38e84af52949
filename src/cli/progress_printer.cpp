#include "progress_printer.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "d2c/core/utc.hpp"

namespace d2c::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t default_columns = 80;

/// Code points, each of which takes a column.
std::size_t columns_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string cut_to(const std::string& text, std::size_t columns) {
  if (columns_of(text) <= columns) return text;
  std::string cut;
  std::size_t used = 0;
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    if (begins && ++used + 3 > columns) break;
    cut += c;
  }
  return cut + "...";
}

}  // namespace

std::size_t terminal_columns(int descriptor) {
  if (::isatty(descriptor) == 0) return 0;
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int given = columns == nullptr ? 0 : std::atoi(columns);
  return given > 0 ? static_cast<std::size_t>(given) : default_columns;
}

std::size_t output_columns() {
  constexpr std::size_t of_a_file = 100;
  const std::size_t columns = terminal_columns(STDOUT_FILENO);
  return columns == 0 ? of_a_file : columns;
}

std::string duration_text(double seconds) {
  const auto whole = std::int64_t{std::llround(std::max(seconds, 0.0))};
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string count_text(std::int64_t count) {
  std::string text = std::to_string(count);
  for (auto place = static_cast<std::ptrdiff_t>(text.size()) - 3; place > 0; place -= 3) {
    text.insert(static_cast<std::size_t>(place), 1, ',');
  }
  return text;
}

std::string wrapped(const std::string& text, std::size_t columns) {
  std::string lines;
  std::string line;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && columns_of(line) + 1 + columns_of(word) > columns) {
      lines += line;
      lines += '\n';
      line = fmt::format("  {}", word);
    } else {
      if (begin != 0) line += ' ';
      line += word;
    }
    begin = end + 1;
  }
  return lines + line;
}

ProgressPrinter::ProgressPrinter(Verbosity verbosity)
    : verbosity_(verbosity), is_terminal_(::isatty(STDERR_FILENO) != 0) {
  // Signals are for the thread that works.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  speaker_ = std::thread([this] { speak(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ProgressPrinter::~ProgressPrinter() {
  {
    const std::scoped_lock lock(mutex_);
    end_phase();
    ends_ = true;
  }
  wake_.notify_one();
  speaker_.join();
}

milliseconds ProgressPrinter::pause() const {
  if (is_terminal_) return milliseconds(500);
  constexpr double ten_minutes = 600;
  return milliseconds(job_.seconds() < ten_minutes ? 4500 : 30000);
}

void ProgressPrinter::speak() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    wake_.wait_for(lock, pause());
    if (!ends_ && !what_.empty()) show();
  }
}

std::string ProgressPrinter::status() const {
  const double seconds = phase_.seconds();
  std::string text = what_;
  if (total_ > 0) {
    const std::int64_t done = std::min(done_, total_);
    text += fmt::format("  {}/{} {} ({} %)", count_text(done), count_text(total_), unit_,
                        100 * done / total_);
  } else if (!unit_.empty()) {
    text += fmt::format("  {} {}", count_text(done_), unit_);
  }
  if (done_ > 0 && seconds > 0) {
    const double rate = static_cast<double>(done_) / seconds;
    text += rate >= 10 ? fmt::format("  {}/s", count_text(std::llround(rate)))
                       : fmt::format("  {:.2g}/s", rate);
    if (total_ > done_) {
      text += fmt::format("  {} left", duration_text(static_cast<double>(total_ - done_) / rate));
    }
  } else {
    text += fmt::format("  {}", duration_text(seconds));
  }
  if (!note_.empty()) text += fmt::format("  {}", note_);
  return text;
}

void ProgressPrinter::show() {
  if (!is_terminal_) {
    fmt::print(stderr, "{} {}\n", utc_now(), status());
    return;
  }
  const std::size_t columns = terminal_columns(STDERR_FILENO);
  const std::string text = fmt::format("{:>7}  {}", duration_text(job_.seconds()), status());
  fmt::print(stderr, "\r\x1b[K{}", cut_to(text, columns - 1));
  std::fflush(stderr);
  has_live_line_ = true;
}

void ProgressPrinter::print_line(const std::string& line) {
  if (!is_terminal_) {
    fmt::print(stderr, "{} {}\n", utc_now(), line);
    return;
  }
  if (has_live_line_) fmt::print(stderr, "\r\x1b[K");
  has_live_line_ = false;
  fmt::print(stderr, "{}\n", wrapped(line, terminal_columns(STDERR_FILENO)));
}

void ProgressPrinter::end_phase() {
  constexpr double worth_a_line = 1.0;  // seconds
  const double seconds = phase_.seconds();
  if (!what_.empty() && (seconds >= worth_a_line || verbosity_ == Verbosity::verbose)) {
    print_line(fmt::format("{}: {}{}{}", what_,
                           unit_.empty() ? "" : fmt::format("{} {} in ", count_text(done_), unit_),
                           duration_text(seconds),
                           note_.empty() ? "" : fmt::format(", {}", note_)));
  }
  if (is_terminal_ && has_live_line_) fmt::print(stderr, "\r\x1b[K");
  has_live_line_ = false;
  what_.clear();
}

void ProgressPrinter::begin(const std::string& what, const std::string& unit, std::int64_t total) {
  const std::scoped_lock lock(mutex_);
  end_phase();
  what_ = what;
  unit_ = unit;
  note_.clear();
  done_ = 0;
  total_ = total;
  phase_ = Stopwatch();
}

void ProgressPrinter::advance(std::int64_t done) {
  const std::scoped_lock lock(mutex_);
  done_ += done;
}

void ProgressPrinter::note(const std::string& text) {
  const std::scoped_lock lock(mutex_);
  note_ = text;
}

void ProgressPrinter::detail(const std::string& line) {
  if (verbosity_ == Verbosity::verbose) say(line);
}

void ProgressPrinter::say(const std::string& line) {
  const std::scoped_lock lock(mutex_);
  print_line(line);
}

}  // namespace d2c::cli
