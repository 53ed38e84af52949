#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "d2c/core/mapped_file.hpp"
#include "d2c/tensor/dtype.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::safetensors {

/// One entry of the header.
struct TensorInfo {
  DType dtype = DType::f32;
  std::vector<Index> shape;  ///< empty = scalar
  std::uint64_t begin = 0;   ///< bytes, relative to the data section
  std::uint64_t end = 0;
};

/// A validated safetensors file, memory-mapped read-only or held in memory.
///
/// Format: u64 little-endian header length N <= 100,000,000; N bytes of JSON; data. The ranges of
/// the tensors are checked to tile the data section from 0 to its end without holes or overlaps,
/// each exactly as long as dtype and shape say. Empty and scalar tensors are legal.
/// Source: https://github.com/huggingface/safetensors (format section of the README).
class Reader {
 public:
  /// @throws InputError naming the file (and tensor) for anything that is not valid
  explicit Reader(const std::filesystem::path& file);
  /// The same for the content of a file that was read elsewhere.
  /// @param file  for messages
  Reader(std::filesystem::path file, std::vector<std::byte> content);

  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  [[nodiscard]] const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }

  /// @throws InputError if the tensor is absent
  [[nodiscard]] const TensorInfo& info(const std::string& name) const;
  /// Where the data section starts, in bytes from the start of the file.
  [[nodiscard]] std::uint64_t data_begin() const { return data_begin_; }
  /// The whole file; valid as long as the reader lives.
  [[nodiscard]] std::span<const std::byte> content() const { return content_; }
  /// The tensor's bytes in the mapping; valid as long as the reader lives.
  [[nodiscard]] std::span<const std::byte> bytes(const std::string& name) const;

  /// Converts to float. @throws InputError for an absent tensor, another rank, a type that is not
  /// a float, or values that are not finite
  [[nodiscard]] Matrix matrix(const std::string& name) const;              ///< 2-dim
  [[nodiscard]] std::vector<float> vector(const std::string& name) const;  ///< 1-dim
  /// Converts rows [first, first + count) of a 2-dim tensor into `target` (count * cols floats).
  void read_rows(const std::string& name, Index first, Index count, std::span<float> target) const;

 private:
  void parse();
  /// An entry of a float tensor with `n_dimensions` dimensions.
  [[nodiscard]] const TensorInfo& float_info(const std::string& name,
                                             std::size_t n_dimensions) const;
  /// Converts elements [first, first + target.size()).
  void read(const std::string& name, const TensorInfo& tensor, Index first,
            std::span<float> target) const;

  std::filesystem::path file_;
  std::unique_ptr<MappedFile> mapping_;
  std::vector<std::byte> owned_;  ///< the content, where there is no mapping
  std::span<const std::byte> content_;
  std::map<std::string, TensorInfo> tensors_;
  std::uint64_t data_begin_ = 0;
};

}  // namespace d2c::safetensors
