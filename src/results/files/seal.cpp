#include "files/seal.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/input_file.hpp"

namespace d2c::results {
namespace {

constexpr std::string_view line_start = "\nd2c crc32 ";
constexpr std::size_t digits = 8;  ///< of the checksum that follows
constexpr std::string_view hole_start = " without ";
constexpr std::size_t hole_digits = 16;  ///< of its begin, and of its end

/// What follows the checksum.
std::string end_text(std::optional<Hole> hole) {
  if (!hole) return "\n";
  return fmt::format("{}{:016x} {:016x}\n", hole_start, hole->begin, hole->end);
}

std::size_t line_bytes(bool holed) {
  return line_start.size() + digits + end_text(holed ? std::optional(Hole{}) : std::nullopt).size();
}

/// Of the first `bytes` bytes; those without the hole, and the text that says where it is.
std::string crc_text(const InputFile& file, std::uint64_t bytes, std::optional<Hole> hole) {
  std::uint32_t checksum = crc32(file, 0, hole ? hole->begin : bytes);
  if (hole) {
    checksum = crc32(file, hole->end, bytes, checksum);
    const std::string end = end_text(hole);
    checksum = crc32(std::as_bytes(std::span(end)), checksum);
  }
  return fmt::format("{:08x}", checksum);
}

/// The line at the end of a file.
struct Line {
  std::uint64_t begin = 0;
  std::string checksum;
  std::optional<Hole> hole;
};

std::optional<Line> find_line(const InputFile& file, bool holed) {
  const std::uint64_t size = file.size();
  const std::size_t bytes = line_bytes(holed);
  if (size < bytes) return std::nullopt;
  std::string text(bytes, '\0');
  file.read(size - bytes, std::as_writable_bytes(std::span(text)));
  if (!text.starts_with(line_start)) return std::nullopt;
  Line line{size - bytes, text.substr(line_start.size(), digits), std::nullopt};
  if (holed) {
    const auto number_at = [&](std::size_t at) {
      std::uint64_t value = 0;
      std::from_chars(text.data() + at, text.data() + at + hole_digits, value, 16);
      return value;
    };
    const std::size_t numbers = line_start.size() + digits + hole_start.size();
    line.hole = Hole{number_at(numbers), number_at(numbers + hole_digits + 1)};
    if (line.hole->begin > line.hole->end || line.hole->end > line.begin) return std::nullopt;
  }
  // What follows the checksum is spelled as it is written, too.
  if (!text.ends_with(end_text(line.hole))) return std::nullopt;
  return line;
}

bool fits(const InputFile& file, const Line& line) {
  return crc_text(file, line.begin, line.hole) == line.checksum;
}

}  // namespace

std::string seal_line(const std::filesystem::path& place, std::optional<Hole> hole) {
  const InputFile file(place);
  return fmt::format("{}{}{}", line_start, crc_text(file, file.size(), hole), end_text(hole));
}

Seal check_seal(const std::filesystem::path& place) {
  const InputFile file(place);
  const auto line = find_line(file, /*holed=*/false);
  if (!line) return Seal::absent;
  return fits(file, *line) ? Seal::fits : Seal::broken;
}

std::optional<Hole> check_holed_seal(const std::filesystem::path& place) {
  const InputFile file(place);
  const auto line = find_line(file, /*holed=*/true);
  return line && fits(file, *line) ? line->hole : std::nullopt;
}

}  // namespace d2c::results
