#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace d2c {

/// Values as bytes on their way between ranks of one job: both ends are the same program.
template <class T, std::size_t n>
void append_wire(std::vector<std::byte>& bytes, std::span<T, n> values) {
  const auto raw = std::as_bytes(values);
  const std::size_t before = bytes.size();
  bytes.resize(before + raw.size());
  if (!raw.empty()) std::memcpy(bytes.data() + before, raw.data(), raw.size());
}

/// Fills `values` from the front of `bytes`, and drops what was read. @pre there is enough
template <class T, std::size_t n>
void take_wire(std::span<const std::byte>& bytes, std::span<T, n> values) {
  const auto raw = std::as_writable_bytes(values);
  if (!raw.empty()) std::memcpy(raw.data(), bytes.data(), raw.size());
  bytes = bytes.subspan(raw.size());
}

/// A vector or text, with its length before it.
template <class List>
void append_list(std::vector<std::byte>& bytes, const List& list) {
  const std::uint64_t size = list.size();
  append_wire(bytes, std::span(&size, 1));
  append_wire(bytes, std::span(list));
}

template <class List>
void take_list(std::span<const std::byte>& bytes, List& list) {
  std::uint64_t size = 0;
  take_wire(bytes, std::span(&size, 1));
  list.resize(size);
  take_wire(bytes, std::span(list));
}

}  // namespace d2c
