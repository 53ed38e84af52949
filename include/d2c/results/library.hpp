#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/core/writable_file.hpp"

namespace d2c::results {

/// Where one adapter lies in a library file: the text of adapter_config.json, zeros up to a
/// multiple of 64 bytes, then adapter_model.safetensors byte for byte. See
/// docs/user/library-format.md.
struct LibraryRecord {
  std::uint64_t begin = 0;          ///< bytes from the start of the file
  std::uint64_t config_bytes = 0;   ///< length of the configuration, which comes first
  std::uint64_t tensors_begin = 0;  ///< bytes from the start of the record
  std::uint64_t tensors_bytes = 0;
  std::uint64_t checksum = 0;  ///< CRC-32 of the record

  [[nodiscard]] std::uint64_t bytes() const { return tensors_begin + tensors_bytes; }
};

/// What a library file holds, adapter by adapter; see docs/user/library-format.md. Vectors have one
/// value per adapter unless a comment says otherwise.
struct LibraryIndex {
  std::string version;      ///< of d2c
  std::string git_commit;   ///< of d2c
  std::string created_utc;  ///< when the file was finished

  std::vector<std::string> name;             ///< unique
  std::vector<std::string> source;           ///< folder it was packed from
  std::vector<std::string> base_model;       ///< base_model_name_or_path; may be empty
  std::vector<std::string> dtype;            ///< of the factors: "F32", "BF16", ...
  std::vector<std::uint64_t> begin;          ///< of the record, bytes from the start of `data`
  std::vector<std::uint64_t> config_bytes;   ///< of adapter_config.json, where the record starts
  std::vector<std::uint64_t> tensors_begin;  ///< bytes from the start of the record
  std::vector<std::uint64_t> tensors_bytes;  ///< of adapter_model.safetensors
  std::vector<std::uint64_t> checksum;       ///< CRC-32 of the record
  std::vector<std::uint64_t> fingerprint;    ///< of the content: lora::fingerprint

  std::vector<std::string> module;  ///< [module] that any adapter changes, ascending
  std::vector<std::int64_t> d_out;  ///< [module]
  std::vector<std::int64_t> d_in;   ///< [module]
  std::vector<int> rank;            ///< [adapter, module]; 0 = the adapter lacks the module

  std::uint64_t data_begin = 0;  ///< of `data`, bytes from the start of the file
  std::uint64_t data_bytes = 0;

  [[nodiscard]] std::size_t n_adapters() const { return name.size(); }
  [[nodiscard]] LibraryRecord record(std::size_t i) const {
    return {data_begin + begin[i], config_bytes[i], tensors_begin[i], tensors_bytes[i],
            checksum[i]};
  }
};

/// Where the records of every library start, in bytes from the start of the file.
[[nodiscard]] std::uint64_t library_data_begin();

/// Turns a file of records into a library: writes HDF5's part before and behind them and seals it.
/// The records themselves are neither read nor moved.
/// @param file      records from library_data_begin() on, index.data_bytes long; left as it was
///                  before if HDF5's part cannot be made
/// @pre index.data_bytes is a multiple of 4096 and not 0
/// @throws IoError
void finish_library(const WritableFile& file, const LibraryIndex& index);

/// Reads everything but the records. The checksum over HDF5's part is verified before HDF5 sees the
/// file: its cost does not depend on the size of the adapters.
/// @throws InputError: not a library, of another version, damaged or truncated
[[nodiscard]] LibraryIndex read_library(const std::filesystem::path& file);

}  // namespace d2c::results
