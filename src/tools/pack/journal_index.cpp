#include <map>

#include "d2c/core/utc.hpp"
#include "d2c/core/version.hpp"

#include "pack/journal.hpp"

namespace d2c::tools {
namespace {

/// Puts the modules into the index, ascending by name. @return  column of each noted module
std::vector<std::size_t> add_modules(const std::vector<PackedModule>& modules,
                                     results::LibraryIndex& index) {
  std::map<std::string, std::size_t> sorted;
  for (std::size_t m = 0; m < modules.size(); ++m) sorted.emplace(modules[m].name, m);
  std::vector<std::size_t> column(modules.size());
  for (const auto& [name, m] : sorted) {
    column[m] = index.module.size();
    index.module.push_back(name);
    index.d_out.push_back(modules[m].d_out);
    index.d_in.push_back(modules[m].d_in);
  }
  return column;
}

void add_adapter(const PackedAdapter& adapter, results::LibraryIndex& index) {
  index.name.push_back(adapter.name);
  index.source.push_back(adapter.source);
  index.base_model.push_back(adapter.base_model);
  index.dtype.push_back(adapter.dtype);
  index.begin.push_back(adapter.record.begin);
  index.config_bytes.push_back(adapter.record.config_bytes);
  index.tensors_begin.push_back(adapter.record.tensors_begin);
  index.tensors_bytes.push_back(adapter.record.tensors_bytes);
  index.checksum.push_back(adapter.record.checksum);
  index.fingerprint.push_back(adapter.fingerprint);
}

}  // namespace

results::LibraryIndex PackJournal::index() const {
  results::LibraryIndex index;
  index.version = version();
  index.git_commit = git_commit();
  index.created_utc = utc_now();
  const std::vector<std::size_t> column = add_modules(modules_, index);
  index.rank.resize(adapters_.size() * column.size(), 0);
  for (std::size_t i = 0; i < adapters_.size(); ++i) {
    add_adapter(adapters_[i], index);
    for (const auto& [module, rank] : adapters_[i].ranks) {
      index.rank[i * column.size() + column[static_cast<std::size_t>(module)]] = rank;
    }
  }
  index.data_begin = results::library_data_begin();
  index.data_bytes = data_end_;
  return index;
}

}  // namespace d2c::tools
