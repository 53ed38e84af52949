#pragma once

#include <string>
#include <string_view>
#include <vector>

/// Plain-text tables for reports.
namespace d2c::results {

inline constexpr std::size_t line_width = 100;  ///< where nothing else is said

/// Columns a text takes: code points, not bytes.
[[nodiscard]] std::size_t width_of(std::string_view text);
/// At most `width` columns, readable(), with "..." where something was cut.
[[nodiscard]] std::string shorten(std::string_view text, std::size_t width);
/// Fixed notation where that is short; "-" for NaN.
[[nodiscard]] std::string show(double value, int decimals = 4);

/// Joins names by ", " into lines of at most `width` columns; names that do not fit in `max_lines`
/// are counted: "a, b, c and 95 more".
[[nodiscard]] std::vector<std::string> wrap_names(const std::vector<std::string>& names,
                                                  std::size_t width, std::size_t max_lines);

/// Cells by rows; numbers to the right, texts to the left. Where a line would be wider than it may
/// be, long texts are cut; numbers never are, even if the line stays too wide.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string header;
    Align align = Align::right;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// @param max_rows  of the rows beyond it, those in the middle are replaced by their count
  /// @param width     of a line
  [[nodiscard]] std::string render(std::size_t max_rows = 40, std::size_t width = line_width) const;

 private:
  static constexpr std::size_t least_text_width = 20;

  [[nodiscard]] std::vector<std::size_t> widths(std::size_t most) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace d2c::results
