#include "d2c/core/activity.hpp"

#include <algorithm>
#include <atomic>
#include <exception>

#include <fmt/format.h>
#include <unistd.h>

#include "d2c/core/readable.hpp"

namespace d2c {
namespace {

thread_local const Activity* innermost = nullptr;
thread_local std::array<char, 400> failed{};  ///< empty = nothing has failed since
/// For threads that have no activity of their own.
std::atomic<const Activity*> of_process = nullptr;

bool is_main_thread() { return ::gettid() == ::getpid(); }

}  // namespace

Activity::Activity(std::string_view what, const std::filesystem::path& file)
    : outer_(innermost), exceptions_(std::uncaught_exceptions()) {
  const std::string text = fmt::format(" while {}{}{}", what, file.empty() ? "" : " ",
                                       readable(file.string(), longest - 100));
  std::copy_n(text.begin(), std::min(text.size(), longest - 1), text_.begin());
  failed.front() = '\0';
  innermost = this;
  if (is_main_thread()) of_process = this;
}

Activity::~Activity() {
  if (std::uncaught_exceptions() == exceptions_) {
    failed.front() = '\0';
  } else if (failed.front() == '\0') {
    failed = text_;
  }
  innermost = outer_;
  if (is_main_thread()) of_process = outer_;
}

std::string Activity::at_failure() { return failed.front() != '\0' ? failed.data() : now(); }

const char* Activity::now() {
  const Activity* activity = innermost != nullptr ? innermost : of_process.load();
  return activity == nullptr ? "" : activity->text_.data();
}

}  // namespace d2c
