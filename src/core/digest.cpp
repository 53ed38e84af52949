#include "d2c/core/digest.hpp"

#include <array>

#include <fmt/format.h>

namespace d2c {

Digest& Digest::update(std::uint64_t number) {
  std::array<std::byte, sizeof(number)> bytes{};
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(number);
    number >>= 8;
  }
  return update(std::span<const std::byte>(bytes));
}

std::string Digest::text() const { return fmt::format("{:016x}", value_); }

}  // namespace d2c
