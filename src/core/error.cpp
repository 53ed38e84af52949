#include "d2c/core/error.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/readable.hpp"

namespace d2c {
namespace {

std::string locate(const Where& where, const Message& message) {
  std::string line = readable(where.file.string());
  if (where.line > 0) line += fmt::format(":{}", where.line);
  if (!line.empty()) line += ": ";
  if (!where.item.empty()) line += readable(where.item) + ": ";
  return line +
         Message{readable(message.what), readable(message.why), readable(message.fix)}.line();
}

Message with_reason(Message message, const std::string& reason) {
  message.what += ": " + reason;
  return message;
}

}  // namespace

std::string Message::line() const {
  std::string text = what;
  if (!why.empty()) text += " (" + why + ")";
  if (!fix.empty()) text += "; " + fix;
  return text;
}

Error::Error(ExitCode code, Where where, Message message)
    : std::runtime_error(locate(where, message)),
      code_(code),
      where_(std::move(where)),
      message_(std::move(message)) {}

Error::Error(ExitCode code, const std::string& line)
    : std::runtime_error(line), code_(code), message_{line} {}

InputError::InputError(Where where, Message message)
    : Error(ExitCode::bad_input, std::move(where), std::move(message)) {}

ShapeMismatch::ShapeMismatch(Where where, Message message, Shape found, Shape expected)
    : InputError(std::move(where), std::move(message)),
      found_(std::move(found)),
      expected_(std::move(expected)) {}

IoError::IoError(Where where, Message message, std::string reason)
    : Error(ExitCode::bad_input, std::move(where), with_reason(std::move(message), reason)),
      reason_(std::move(reason)) {}

std::string system_reason(int error) { return std::generic_category().message(error); }

UsageError::UsageError(Message message) : Error(ExitCode::usage, {}, std::move(message)) {}

void detail::contract_failed(const char* condition, const char* file, int line) {
  throw ContractError(fmt::format("{}:{}: contract broken: {}", file, line, condition));
}

}  // namespace d2c
