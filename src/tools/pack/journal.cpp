#include "pack/journal.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/results/library.hpp"

namespace d2c::tools {
namespace {

using json::OrderedJson;

/// The first line; it also says where the records start in the file.
std::string header() {
  return fmt::format(R"({{"format":"d2c-pack-journal","version":1,"data_begin":{}}})",
                     results::library_data_begin());
}

std::string line_of(std::string_view text) {
  return fmt::format("{:08x} {}\n", crc32(std::as_bytes(std::span(text))), text);
}

OrderedJson to_json(const PackedAdapter& adapter) {
  OrderedJson value;
  value["name"] = adapter.name;
  value["source"] = adapter.source;
  value["stamp"] = adapter.stamp;
  value["base_model"] = adapter.base_model;
  value["dtype"] = adapter.dtype;
  const results::LibraryRecord& record = adapter.record;
  value["record"] = {record.begin, record.config_bytes, record.tensors_begin, record.tensors_bytes,
                     record.checksum};
  value["fingerprint"] = adapter.fingerprint;
  value["ranks"] = adapter.ranks;
  return value;
}

/// Not converted from another kind of number, which an integer may be unable to hold.
/// @throws std::out_of_range
template <class Integer>
Integer integer(const json::Json& value) {
  const bool fits =
      value.is_number_unsigned() && std::in_range<Integer>(value.get<std::uint64_t>());
  if (!fits) throw std::out_of_range("no integer");
  return value.get<Integer>();
}

}  // namespace

std::uint64_t aligned_record_end(std::uint64_t end) {
  constexpr std::uint64_t page = 4096;
  return (end + page - 1) / page * page;
}

PackJournal::PackJournal(const std::filesystem::path& file, Start start)
    : file_(file, O_CREAT | O_NOFOLLOW | O_APPEND,
            {file,
             {"cannot be written", "it notes what is packed already",
              "free some space or write to another place; the same command goes on"}}) {
  if (start == Start::over) file_.resize(0);
  const std::uint64_t whole = read_lines();
  file_.resize(whole);
  if (whole == 0) note(header());
}

std::uint64_t PackJournal::read_lines() {
  const std::string text = read_text(file_.path(), std::uint64_t{16} << 30);
  std::size_t whole = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', whole)) {
    const std::string_view line = std::string_view(text).substr(whole, end - whole);
    if (line.size() < 9 || line_of(line.substr(9)) != std::string(line) + "\n") break;
    if (whole == 0 && line.substr(9) != header()) {
      throw InputError({file_.path()}, {"was written by another version of d2c",
                                        "what it notes cannot be told", "remove it to start over"});
    }
    if (whole > 0) take(std::string(line.substr(9)));
    whole = end + 1;
  }
  if (whole == 0 && text.find('\n') != std::string::npos) {
    throw InputError({file_.path()}, {"is damaged", "what is packed already cannot be told",
                                      "remove it to start over"});
  }
  return whole;
}

void PackJournal::note(const std::string& text) { pending_ += line_of(text); }

void PackJournal::take(const std::string& text) {
  const auto refuse = [&] {
    throw InputError({file_.path()}, {"is damaged", "a line of it is none that d2c writes",
                                      "remove it to start over"});
  };
  try {
    take(json::parse(text, file_.path()));
  } catch (const json::Json::exception&) {
    refuse();
  } catch (const std::out_of_range&) {
    refuse();
  }
}

void PackJournal::take(const json::Json& value) {
  if (value.contains("module")) {
    modules_.push_back({value.at("module").get<std::string>(),
                        integer<std::int64_t>(value.at("d_out")),
                        integer<std::int64_t>(value.at("d_in"))});
    module_places_.emplace(modules_.back().name, static_cast<int>(modules_.size()) - 1);
    return;
  }
  PackedAdapter adapter;
  adapter.name = value.at("name").get<std::string>();
  adapter.source = value.at("source").get<std::string>();
  adapter.stamp = value.at("stamp").get<std::string>();
  adapter.base_model = value.at("base_model").get<std::string>();
  adapter.dtype = value.at("dtype").get<std::string>();
  const auto record = [&](std::size_t i) {
    return integer<std::uint64_t>(value.at("record").at(i));
  };
  adapter.record = {record(0), record(1), record(2), record(3), record(4)};
  adapter.fingerprint = integer<std::uint64_t>(value.at("fingerprint"));
  for (const json::Json& pair : value.at("ranks")) {
    adapter.ranks.emplace_back(integer<int>(pair.at(0)), integer<int>(pair.at(1)));
    static_cast<void>(modules_.at(static_cast<std::size_t>(adapter.ranks.back().first)));
  }
  put(std::move(adapter));
}

void PackJournal::put(PackedAdapter adapter) {
  data_end_ =
      std::max(data_end_, aligned_record_end(adapter.record.begin + adapter.record.bytes()));
  places_.emplace(adapter.name, adapters_.size());
  adapters_.push_back(std::move(adapter));
}

void PackJournal::expect_shape(const PackedModule& module,
                               const std::filesystem::path& adapter) const {
  const auto place = module_places_.find(module.name);
  if (place == module_places_.end()) return;
  const PackedModule& known = modules_[static_cast<std::size_t>(place->second)];
  if (known.d_out == module.d_out && known.d_in == module.d_in) return;
  throw ShapeMismatch(
      {adapter, module.name},
      {fmt::format("is for a weight of [{}, {}], in the adapters before it is [{}, {}]",
                   module.d_out, module.d_in, known.d_out, known.d_in),
       "a library holds adapters of one base model", "pack the adapters of each model apart"},
      {module.d_out, module.d_in}, {known.d_out, known.d_in});
}

int PackJournal::module(const PackedModule& module) {
  const auto [place, fresh] =
      module_places_.emplace(module.name, static_cast<int>(modules_.size()));
  if (fresh) {
    OrderedJson value;
    value["module"] = module.name;
    value["d_out"] = module.d_out;
    value["d_in"] = module.d_in;
    note(value.dump());
    modules_.push_back(module);
  }
  return place->second;
}

void PackJournal::add(PackedAdapter adapter) {
  note(to_json(adapter).dump());
  put(std::move(adapter));
}

void PackJournal::commit() {
  file_.append(std::as_bytes(std::span(pending_)));
  pending_.clear();
  file_.sync();
}

void PackJournal::clear() {
  adapters_.clear();
  modules_.clear();
  places_.clear();
  module_places_.clear();
  data_end_ = 0;
  pending_.clear();
  file_.resize(0);
  note(header());
}

void PackJournal::remove() {
  std::error_code ignored;
  std::filesystem::remove(file_.path(), ignored);
}

}  // namespace d2c::tools
