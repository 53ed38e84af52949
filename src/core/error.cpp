#include "d2c/core/error.hpp"

#include <utility>

#include <fmt/format.h>

namespace d2c {
namespace {

std::string locate(const Where& where, const Message& message) {
  std::string line = where.file.string();
  if (where.line > 0) line += fmt::format(":{}", where.line);
  if (!line.empty()) line += ": ";
  if (!where.item.empty()) line += where.item + ": ";
  return line + message.line();
}

}  // namespace

std::string Message::line() const {
  std::string text = what;
  if (!why.empty()) text += " (" + why + ")";
  if (!fix.empty()) text += " " + fix;
  return text;
}

InputError::InputError(Where where, Message message)
    : Error(ExitCode::bad_input, locate(where, message)),
      where_(std::move(where)),
      message_(std::move(message)) {}

// Taken by value as in InputError: callers pass temporaries.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
UsageError::UsageError(Message message) : Error(ExitCode::usage, message.line()) {}

void detail::contract_failed(const char* condition, const char* file, int line) {
  throw ContractError(fmt::format("{}:{}: contract broken: {}", file, line, condition));
}

}  // namespace d2c
