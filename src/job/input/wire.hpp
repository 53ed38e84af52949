#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace d2c::job {

/// Values as bytes on their way between ranks of one job: both ends are the same program.
template <class T, std::size_t n>
void append_wire(std::vector<std::byte>& bytes, std::span<T, n> values) {
  const auto raw = std::as_bytes(values);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

/// Fills `values` from the front of `bytes`, and drops what was read. @pre there is enough
template <class T, std::size_t n>
void take_wire(std::span<const std::byte>& bytes, std::span<T, n> values) {
  const auto raw = std::as_writable_bytes(values);
  if (!raw.empty()) std::memcpy(raw.data(), bytes.data(), raw.size());
  bytes = bytes.subspan(raw.size());
}

}  // namespace d2c::job
