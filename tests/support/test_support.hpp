#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace d2c::test {

/// Path of reference data beside the project. The environment variable D2C_SHARED overrides the
/// place given at configure time.
std::filesystem::path shared(const std::string& relative);

/// Path inside the project. The environment variable D2C_SOURCE overrides where that is.
std::filesystem::path source(const std::string& relative);

/// Path inside tests/golden: tiny models, adapters and merges with what transformers and peft
/// compute for them.
std::filesystem::path golden(const std::string& relative);

/// Skips the test, by name, where reference data is not there.
#define D2C_SKIP_WITHOUT(path)                                       \
  if (!std::filesystem::exists(path)) {                              \
    GTEST_SKIP() << "reference data is absent: " << (path).string(); \
  }

/// A fresh folder, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "d2c-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

/// Expects `statement` to throw `type` with a message that contains every one of the given parts.
#define D2C_EXPECT_ERROR(statement, type, ...)                                                 \
  try {                                                                                        \
    statement;                                                                                 \
    ADD_FAILURE() << "no error was thrown by " #statement;                                     \
  } catch (const type& error) {                                                                \
    for (const std::string_view part : std::initializer_list<std::string_view>{__VA_ARGS__}) { \
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)             \
          << "'" << part << "' is not in: " << error.what();                                   \
    }                                                                                          \
  }

}  // namespace d2c::test
