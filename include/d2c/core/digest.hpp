#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace d2c {

/// 64-bit digest of a content, taken piece by piece: FNV-1a over the bytes. The same on every
/// machine; equal contents give equal values. It tells apart what people work with, and is no
/// protection against someone who makes two contents collide.
class Digest {
 public:
  Digest& update(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    return *this;
  }
  Digest& update(std::string_view text) { return update(std::as_bytes(std::span(text))); }
  /// The number as eight bytes, the lowest first. Between two pieces of unknown size it keeps what
  /// one ends with apart from what the next begins with.
  Digest& update(std::uint64_t number);

  [[nodiscard]] std::uint64_t value() const { return value_; }
  /// Sixteen hexadecimal digits.
  [[nodiscard]] std::string text() const;

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace d2c
