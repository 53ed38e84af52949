#include "report/table.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "d2c/core/readable.hpp"

namespace d2c::results {
namespace {

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::string pad(const std::string& text, std::size_t width, Table::Align align) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return align == Table::Align::left ? text + space : space + text;
}

}  // namespace

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string shorten(std::string_view text, std::size_t width) {
  static constexpr std::string_view ellipsis = "...";
  const std::string shown = readable(text);
  const bool cut = width_of(shown) > width;
  const std::size_t kept = cut ? width - std::min(width, ellipsis.size()) : width;
  std::string result;
  std::size_t columns = 0;
  for (const char c : shown) {
    if (starts_code_point(c) && ++columns > kept) break;
    result += c;
  }
  if (cut) result += ellipsis;
  return result;
}

std::string show(double value, int decimals) {
  if (std::isnan(value)) return "-";
  return std::abs(value) < 1e7 ? fmt::format("{:.{}f}", value, decimals)
                               : fmt::format("{:.3e}", value);
}

std::vector<std::string> wrap_names(const std::vector<std::string>& names, std::size_t width,
                                    std::size_t max_lines) {
  std::vector<std::string> lines(1);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool last = i + 1 == names.size();
    const std::string name = shorten(names[i], width / 2) + (last ? "" : ",");
    // The last line keeps room for the count of what does not fit.
    const std::string rest = fmt::format(" and {} more", names.size() - i);
    const std::size_t reserve = lines.size() == max_lines && !last ? rest.size() : 0;
    const std::string joined = lines.back().empty() ? name : lines.back() + " " + name;
    if (width_of(joined) + reserve <= width) {
      lines.back() = joined;
    } else if (lines.size() < max_lines) {
      lines.push_back(name);
    } else {
      if (lines.back().ends_with(',')) lines.back().pop_back();
      lines.back() += rest;
      break;
    }
  }
  return lines;
}

std::vector<std::size_t> Table::widths(std::size_t most) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(width_of(column.header));
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], width_of(row[c]));
    }
  }
  std::size_t line = 0;
  for (const std::size_t width : widths) line += 2 + width;
  for (std::size_t c = 0; c < widths.size(); ++c) {
    if (columns_[c].align == Align::right || widths[c] <= least_text_width) continue;
    const std::size_t excess = line - std::min(line, most);
    const std::size_t cut = std::min(excess, widths[c] - least_text_width);
    widths[c] -= cut;
    line -= cut;
  }
  return widths;
}

std::string Table::render(std::size_t max_rows, std::size_t width) const {
  const std::vector<std::size_t> widths = this->widths(width);
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      line += "  " + pad(shorten(cell_of(c), widths[c]), widths[c], columns_[c].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line([&](std::size_t c) { return columns_[c].header; });
  const bool all = rows_.size() <= max_rows;
  const std::size_t head = all ? rows_.size() : max_rows / 2;
  const std::size_t tail = all ? rows_.size() : rows_.size() - max_rows / 2;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r == head && !all) text += fmt::format("  ... {} rows not shown ...\n", tail - head);
    if (r >= head && r < tail) continue;
    add_line([&](std::size_t c) { return c < rows_[r].size() ? rows_[r][c] : std::string(); });
  }
  return text;
}

}  // namespace d2c::results
