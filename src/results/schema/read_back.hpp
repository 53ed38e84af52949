#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "d2c/core/digest.hpp"

#include "schema/schema_reader.hpp"

namespace d2c::results {

/// What a file shall hold: a digest of every dataset as it was in memory, to be compared with what
/// the file gives back before it is put in its place, attributes included. A write that was lost on
/// the way, whatever said that it succeeded, is an error and not a wrong result.
class ReadBack {
 public:
  template <class T>
  void note(const std::string& path, std::span<const T> values) {
    notes_.push_back({path, digest_of(values), [path](const SchemaReader& file) {
                        std::vector<T> back;
                        file.values(path, back);
                        return digest_of(std::span<const T>(back));
                      }});
  }

  /// @param file      closed and complete
  /// @param shown_as  its name in messages
  /// @throws IoError that names the first dataset that differs
  void check(const std::filesystem::path& file, const std::filesystem::path& shown_as) const;

 private:
  struct Note {
    std::string path;
    std::uint64_t digest;
    std::function<std::uint64_t(const SchemaReader&)> of_file;
  };

  template <class T>
  static std::uint64_t digest_of(std::span<const T> values) {
    return Digest().update(std::as_bytes(values)).value();
  }
  static std::uint64_t digest_of(std::span<const std::string> values) {
    Digest digest;
    for (const std::string& value : values) digest.update(value.size()).update(value);
    return digest.value();
  }

  std::vector<Note> notes_;
};

}  // namespace d2c::results
