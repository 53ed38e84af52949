#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace d2c {

/// Process exit codes, the same on every rank.
enum class ExitCode : int {
  ok = 0,
  failure = 1,    ///< anything not named below
  usage = 2,      ///< the command line is wrong
  bad_input = 3,  ///< a file or its content is wrong
  requeue = 4,    ///< stopped at a checkpoint: submit again
};

/// What every message says, printed as one line: "what (why); fix".
struct Message {
  std::string what;      ///< what is wrong
  std::string why = {};  ///< why it matters; empty = left out
  std::string fix = {};  ///< what the user can do; empty = left out

  [[nodiscard]] std::string line() const;
};

/// Where the fault was found. Empty or zero fields are left out of the message.
struct Where {
  std::filesystem::path file;
  std::string item = {};  ///< tensor, module, field or option
  std::int64_t line = 0;  ///< 1-based line of a text file
};

/// Base of everything d2c throws on purpose. what() is one line,
/// "FILE:LINE: ITEM: what is wrong (why it matters); what to do", each part of which is readable():
/// whatever names and values of the user's files are in it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, Where where, Message message);
  /// @param line  made by another Error, on another rank
  Error(ExitCode code, const std::string& line);
  [[nodiscard]] ExitCode code() const { return code_; }
  [[nodiscard]] const Where& where() const { return where_; }
  [[nodiscard]] const Message& message() const { return message_; }

 private:
  ExitCode code_;
  Where where_;
  Message message_;
};

/// The user's files or their content are wrong (exit code 3).
class InputError : public Error {
 public:
  InputError(Where where, Message message);
};

using Shape = std::vector<std::int64_t>;

/// A tensor or update has another shape than the one that it belongs to.
class ShapeMismatch : public InputError {
 public:
  ShapeMismatch(Where where, Message message, Shape found, Shape expected);
  [[nodiscard]] const Shape& found() const { return found_; }
  [[nodiscard]] const Shape& expected() const { return expected_; }

 private:
  Shape found_;
  Shape expected_;
};

/// The system refuses to open, read or write a file, be it for want of space (exit code 3).
class IoError : public Error {
 public:
  /// @param message  its `what` is followed by the reason: "cannot be opened: Permission denied"
  IoError(Where where, Message message, std::string reason);
  /// What the system says.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

/// The system's words for an error number.
[[nodiscard]] std::string system_reason(int error);

/// The command line or an option's value is wrong (exit code 2).
class UsageError : public Error {
 public:
  explicit UsageError(Message message);
};

/// A bug in d2c: a function was called outside its contract. Checked in debug builds.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace detail {
[[noreturn]] void contract_failed(const char* condition, const char* file, int line);
}

}  // namespace d2c

/// Precondition or invariant of our own code. Users' input is validated with InputError instead.
#ifdef NDEBUG
#define D2C_EXPECTS(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#else
#define D2C_EXPECTS(condition)        \
  ((condition) ? static_cast<void>(0) \
               : ::d2c::detail::contract_failed(#condition, __FILE__, __LINE__))
#endif
