#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/core/writable_file.hpp"
#include "d2c/results/library.hpp"

namespace d2c::tools {

/// An adapter whose record is written.
struct PackedAdapter {
  std::string name;
  std::string source;
  std::string stamp;  ///< sizes and times of the source's files; empty = from an earlier library
  std::string base_model;
  std::string dtype;
  results::LibraryRecord record;  ///< `begin` counts from the start of the data
  std::uint64_t fingerprint = 0;
  std::vector<std::pair<int, int>> ranks;  ///< (index into modules(), rank)
};

struct PackedModule {
  std::string name;
  std::int64_t d_out = 0;
  std::int64_t d_in = 0;
};

/// The notes of a packing that goes on: lines of text with a checksum each, so that a line that was
/// cut off by a crash is seen. What is noted is on the disk before.
class PackJournal {
 public:
  enum class Start { go_on, over };
  /// Reads what an earlier call noted, up to the first line that is not whole.
  /// @param start  over: the records are gone, as the library was finished or its file was removed;
  ///               what is noted of them is thrown away
  /// @throws InputError, IoError
  PackJournal(const std::filesystem::path& file, Start start);

  [[nodiscard]] const std::vector<PackedAdapter>& adapters() const { return adapters_; }
  [[nodiscard]] const std::vector<PackedModule>& modules() const { return modules_; }
  [[nodiscard]] bool contains(const std::string& name) const { return places_.contains(name); }
  [[nodiscard]] const PackedAdapter& find(const std::string& name) const {
    return adapters_[places_.at(name)];
  }
  /// Bytes of data behind the last noted record.
  [[nodiscard]] std::uint64_t data_end() const { return data_end_; }

  /// @throws InputError if the module is noted with another shape
  void expect_shape(const PackedModule& module, const std::filesystem::path& adapter) const;
  /// Position of a module, which is noted if it is new. @pre expect_shape()
  int module(const PackedModule& module);
  void add(PackedAdapter adapter);
  /// Writes what was added to the disk. @pre the records are there already
  void commit();
  /// The library that the noted adapters make.
  [[nodiscard]] results::LibraryIndex index() const;
  /// Forgets everything.
  void clear();
  void remove();

 private:
  /// Takes the lines that are there. @return  bytes of those that are whole
  std::uint64_t read_lines();
  void note(const std::string& text);
  void take(const std::string& text);
  void take(const json::Json& value);
  void put(PackedAdapter adapter);

  WritableFile file_;
  std::string pending_;
  std::vector<PackedAdapter> adapters_;
  std::vector<PackedModule> modules_;
  std::map<std::string, std::size_t> places_;
  std::map<std::string, int> module_places_;
  std::uint64_t data_end_ = 0;
};

/// The next multiple of the alignment of records.
[[nodiscard]] std::uint64_t aligned_record_end(std::uint64_t end);

}  // namespace d2c::tools
