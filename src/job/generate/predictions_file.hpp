#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/results/checkpoint.hpp"

namespace d2c::job {

/// The lines of the pieces that are written. On rank 0.
class PredictionsFile {
 public:
  /// @param identity  of what is generated; what another job left unfinished is refused
  /// @throws InputError if there is a file that must not be overwritten
  PredictionsFile(std::filesystem::path place, bool overwrite, results::Identity identity,
                  std::size_t n_pieces);

  /// Takes what a stopped job has left. @return pieces that it had written
  /// @throws InputError if it is of another job or damaged
  [[nodiscard]] std::vector<std::size_t> resume();
  void add(std::size_t piece, std::string lines) { lines_[piece] = std::move(lines); }
  /// Leaves what there is for the same call to go on. @throws IoError
  void save() const;
  /// @pre every piece is there @throws IoError
  void publish() const;
  [[nodiscard]] std::filesystem::path unfinished() const { return place_.string() + ".unfinished"; }

 private:
  std::filesystem::path place_;
  results::Identity identity_;
  std::vector<std::optional<std::string>> lines_;  ///< [piece]
};

}  // namespace d2c::job
