#include "input.hpp"

#include <exception>
#include <fstream>
#include <typeinfo>

#include "d2c/core/error.hpp"
#include "d2c/core/readable.hpp"

#include "test_support.hpp"

namespace d2c::fuzz {
namespace {

namespace fs = std::filesystem;

/// Removed when the process ends.
const fs::path& folder() {
  static const test::TempFolder folder;
  return folder.path();
}

}  // namespace

std::vector<std::byte> Input::bytes() const {
  const auto bytes = std::as_bytes(std::span(content_));
  return {bytes.begin(), bytes.end()};
}

fs::path Input::file(const std::string& name) const {
  const fs::path place = folder() / name;
  write(place, content_);
  return place;
}

fs::path Input::empty_folder() {
  const fs::path place = folder() / "folder";
  fs::remove_all(place);
  fs::create_directory(place);
  return place;
}

void write(const fs::path& file, std::string_view content) {
  std::ofstream(file, std::ios::binary).write(content.data(), std::ssize(content));
}

std::span<const Target> targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> joined;
    for (const auto& room : {safetensors_targets(), text_targets(), model_targets(),
                             results_targets(), job_targets()}) {
      joined.insert(joined.end(), room.begin(), room.end());
    }
    return joined;
  }();
  return all;
}

Outcome try_reading(const Target& target, std::string_view content) {
  constexpr std::size_t longest_line = 8192;
  try {
    target.read(Input(content));
    return {true, {}};
  } catch (const Error& error) {
    const std::string line = error.what();
    if (error.code() != ExitCode::bad_input && error.code() != ExitCode::usage) {
      return {false, "exit code " + std::to_string(static_cast<int>(error.code())) + ": " + line};
    }
    if (!is_readable(line)) return {false, "not readable: " + readable(line)};
    if (line.size() > longest_line) return {false, "a long message: " + readable(line)};
    return {};
  } catch (const std::exception& error) {
    return {false, std::string(typeid(error).name()) + ": " + error.what()};
  }
}

}  // namespace d2c::fuzz
