#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "d2c/safetensors/reader.hpp"

namespace d2c::safetensors {

/// The tensors of a Hugging Face model folder: one `model.safetensors`, or the shards named by the
/// `weight_map` of `model.safetensors.index.json`. Look-ups are those of Reader.
class ShardedReader {
 public:
  /// @throws InputError if there is neither, if a shard is missing or not valid, or if the index
  /// and the shards do not name the same tensors
  explicit ShardedReader(const std::filesystem::path& folder);

  /// Tensor name to entry, over all files.
  [[nodiscard]] const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  [[nodiscard]] bool contains(const std::string& name) const { return owner_.contains(name); }
  /// The files in use, in ascending order of their names.
  [[nodiscard]] const std::vector<Reader>& files() const { return readers_; }
  /// The file that holds a tensor; for an absent tensor the file that should have named it.
  [[nodiscard]] const std::filesystem::path& file_of(const std::string& name) const;

  /// As the functions of Reader, in the file that holds the tensor.
  [[nodiscard]] const TensorInfo& info(const std::string& name) const;
  [[nodiscard]] std::span<const std::byte> bytes(const std::string& name) const;
  [[nodiscard]] std::vector<float> vector(const std::string& name) const;
  void read_rows(const std::string& name, Index first, Index count, std::span<float> target) const;

 private:
  void open_shards(const std::filesystem::path& index);
  void add(Reader reader);
  [[nodiscard]] const Reader& reader_of(const std::string& name) const;

  std::filesystem::path directory_file_;  ///< model.safetensors or the index
  std::vector<Reader> readers_;
  std::map<std::string, std::size_t> owner_;  ///< tensor to position in readers_
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace d2c::safetensors
