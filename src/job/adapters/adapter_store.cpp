#include "adapters/adapter_store.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::job {
namespace {

/// Factors in float32 from their stored bytes.
/// @param content  bytes that start at `begin` of the tensor file
std::shared_ptr<const lora::Factors> expand(const lora::StoredFactors& stored,
                                            std::span<const std::byte> content,
                                            std::uint64_t begin) {
  const auto matrix = [&](const lora::StoredMatrix& place) {
    Matrix values(place.rows, place.cols);
    convert_to_float(content.subspan(place.begin - begin, place.bytes()), place.dtype,
                     values.values());
    return values;
  };
  return std::make_shared<const lora::Factors>(
      lora::Factors{matrix(stored.a), matrix(stored.b), stored.scaling});
}

std::uint32_t checksum(const lora::StoredFactors& stored, std::span<const std::byte> content,
                       std::uint64_t begin) {
  const auto bytes = [&](const lora::StoredMatrix& place) {
    return content.subspan(place.begin - begin, place.bytes());
  };
  return crc32(bytes(stored.b), crc32(bytes(stored.a)));
}

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The bytes from the first to the last of both factors.
Range range_of(const lora::StoredFactors& stored) {
  return {std::min(stored.a.begin, stored.b.begin),
          std::max(stored.a.begin + stored.a.bytes(), stored.b.begin + stored.b.bytes())};
}

}  // namespace

/// What this rank keeps of an adapter it owns.
struct AdapterStore::Local {
  std::string base_model;
  DType dtype = DType::f32;
  std::map<std::string, lora::StoredFactors> stored;
  std::map<std::string, std::uint32_t> checksums;  ///< where the factors are read again
  std::vector<std::byte> values;                   ///< else: the factors, `stored` points into them
};

AdapterStore::AdapterStore(comm::Communicator& comm, std::unique_ptr<AdapterSource> source,
                           std::span<const int> owners, std::span<const lora::TargetModule> modules,
                           const std::filesystem::path& model, const KeepOptions& keep)
    : comm_(comm),
      owners_(std::vector<int>(owners.begin(), owners.end())),
      modules_(std::vector<lora::TargetModule>(modules.begin(), modules.end())),
      source_(std::move(source)),
      keep_(keep),
      cache_(keep.cache_bytes),
      fingerprints_(owners_.n(), 0) {
  D2C_EXPECTS(source_->size() == n_adapters());
  D2C_EXPECTS(keep_.in != AdaptersIn::automatic);
  std::sort(modules_.begin(), modules_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const AdapterId adapter : ids()) names_.push_back(source_->name(adapter));
  comm::agree(comm_, [&] {
    for (const int adapter : comm::owned_by(owners_.values(), comm_.rank())) {
      load(AdapterId(adapter), model);
    }
  });
  exchange_shapes();
  comm_.sum(std::span(fingerprints_));
  const auto idle = comm::all_gather_values<AdapterId>(comm_, idle_);
  idle_.clear();
  for (const auto& of_rank : idle) idle_.insert(idle_.end(), of_rank.begin(), of_rank.end());
  std::ranges::sort(idle_);
}

AdapterStore::~AdapterStore() = default;

void AdapterStore::load(AdapterId adapter, const std::filesystem::path& model) {
  lora::AdapterFiles files = source_->read(adapter);
  const bool in_memory = keep_.in == AdaptersIn::memory;
  const std::vector<std::byte> content = files.tensors;
  lora::Adapter read = lora::read_adapter(std::move(files), modules_, model);
  fingerprints_[adapter] = static_cast<std::int64_t>(lora::fingerprint(read.modules));
  if (lora::changes_nothing(read.modules)) idle_.push_back(adapter);
  read.modules.clear();

  constexpr Index largest_rank = std::numeric_limits<std::uint16_t>::max();
  for (const auto& [module, stored] : read.stored) {
    if (stored.a.rows <= largest_rank) continue;
    throw InputError({name(adapter), module},
                     {fmt::format("has rank {}, more than {}", stored.a.rows, largest_rank),
                      "ranks are kept in two bytes each", "train the adapter with a lower rank"});
  }
  Local& own = local_[adapter];
  own.base_model = std::move(read.config.base_model);
  own.dtype = read.dtype;
  own.stored = std::move(read.stored);
  if (!in_memory) {
    for (const auto& [name, stored] : own.stored) {
      own.checksums.emplace(name, checksum(stored, content, 0));
    }
    return;
  }
  std::uint64_t bytes = 0;
  for (const auto& [name, stored] : own.stored) bytes += stored.a.bytes() + stored.b.bytes();
  own.values.reserve(bytes);
  for (auto& [name, stored] : own.stored) {
    for (lora::StoredMatrix* place : {&stored.a, &stored.b}) {
      const auto values = std::span(content).subspan(place->begin, place->bytes());
      place->begin = own.values.size();
      own.values.insert(own.values.end(), values.begin(), values.end());
    }
  }
}

void AdapterStore::exchange_shapes() {
  std::vector<std::uint16_t> own;
  for (const auto& [adapter, content] : local_) {
    own.push_back(static_cast<std::uint16_t>(content.dtype));
    for (const auto& module : modules_) {
      const auto place = content.stored.find(module.name);
      own.push_back(place == content.stored.end()
                        ? std::uint16_t{0}
                        : static_cast<std::uint16_t>(place->second.a.rows));
    }
  }
  const auto all = comm::all_gather_values<std::uint16_t>(comm_, own);
  if (!owners_.empty()) {
    const auto first = local_.find(0);
    base_model_ = comm::broadcast_text(comm_, first == local_.end() ? "" : first->second.base_model,
                                       owners_[0]);
  }

  ranks_ = {n_adapters(), modules_.n()};
  std::vector<std::size_t> position(all.size(), 0);
  for (const AdapterId adapter : ids()) {
    const auto owner = static_cast<std::size_t>(owners_[adapter]);
    const auto row = std::span(all[owner]).subspan(position[owner], modules_.size() + 1);
    position[owner] += row.size();
    const auto dtype = static_cast<DType>(row[0]);
    common_dtype_ = adapter == 0 ? dtype : common_float(common_dtype_, dtype);
    std::copy(row.begin() + 1, row.end(), ranks_.row(adapter).begin());
  }
}

int AdapterStore::n_applied(AdapterId adapter) const {
  return modules_.n() - static_cast<int>(std::ranges::count(ranks_.row(adapter), 0));
}

std::uint64_t AdapterStore::bytes_of(AdapterId adapter, ModuleId module) const {
  const lora::TargetModule& shape = modules_[module];
  return static_cast<std::uint64_t>(rank_of(adapter, module) * (shape.d_in + shape.d_out)) *
             sizeof(float) +
         sizeof(double);
}

std::uint64_t AdapterStore::local_bytes() const {
  if (keep_.in == AdaptersIn::disk) return keep_.cache_bytes;
  std::uint64_t bytes = 0;
  for (const auto& [adapter, content] : local_) bytes += content.values.size();
  return bytes;
}

const AdapterStore::Local& AdapterStore::local_of(AdapterId adapter) const {
  const auto place = local_.find(adapter);
  D2C_EXPECTS(place != local_.end());
  return place->second;
}

lora::FactorMap AdapterStore::local(AdapterId adapter) const {
  lora::FactorMap factors;
  for (const ModuleId module : modules_.ids()) {
    if (rank_of(adapter, module) == 0) continue;
    factors.emplace(modules_[module].name, *own_factors(adapter, module));
  }
  return factors;
}

std::shared_ptr<const lora::Factors> AdapterStore::own_factors(AdapterId adapter,
                                                               ModuleId module) const {
  const Local& own = local_of(adapter);
  const std::string& name = modules_[module].name;
  const lora::StoredFactors& stored = own.stored.at(name);
  if (keep_.in == AdaptersIn::memory) return expand(stored, own.values, 0);

  if (auto kept = cache_.find({adapter, module})) return kept;
  // PEFT writes A and B of a module side by side: one read fetches both.
  const Range range = range_of(stored);
  std::vector<std::byte> content(range.end - range.begin);
  source_->read(adapter, range.begin, content);
  if (checksum(stored, content, range.begin) != own.checksums.at(name)) {
    throw InputError({this->name(adapter), name},
                     {"has changed since the job was started", "the merges would not fit together",
                      "leave the adapters alone while a job reads them, and start it again"});
  }
  auto factors = expand(stored, content, range.begin);
  cache_.insert({adapter, module}, factors,
                (factors->a.values().size() + factors->b.values().size()) * sizeof(float));
  return factors;
}

std::uint64_t AdapterStore::bytes_of(AdapterId adapter) const {
  std::uint64_t bytes = 0;
  for (const ModuleId module : modules_.ids()) {
    if (rank_of(adapter, module) > 0) bytes += bytes_of(adapter, module);
  }
  return bytes;
}

std::unique_ptr<PendingFactors> AdapterStore::start_shipping(
    std::span<const Shipment<ModuleId>> shipments) const {
  // Scaling as double, then A and B.
  WireForm<ModuleId, lora::Factors> form;
  form.size = [this](AdapterId adapter, ModuleId module) { return bytes_of(adapter, module); };
  form.append = [this](std::vector<std::byte>& bytes, AdapterId adapter, ModuleId module) {
    const auto factors = own_factors(adapter, module);
    append_wire(bytes, std::span(&factors->scaling, 1));
    append_wire(bytes, factors->a.values());
    append_wire(bytes, factors->b.values());
  };
  form.take = [this](std::span<const std::byte>& bytes, AdapterId adapter, ModuleId module) {
    const int r = rank_of(adapter, module);
    lora::Factors factors{Matrix(r, modules_[module].d_in), Matrix(modules_[module].d_out, r), 0.0};
    take_wire(bytes, std::span(&factors.scaling, 1));
    take_wire(bytes, factors.a.values());
    take_wire(bytes, factors.b.values());
    return factors;
  };
  return std::make_unique<PendingFactors>(comm_, owners_, shipments, std::move(form));
}

std::shared_ptr<const lora::Factors> AdapterStore::find(AdapterId adapter, ModuleId module,
                                                        const ReceivedFactors& received) const {
  if (rank_of(adapter, module) == 0) return nullptr;
  if (owner(adapter) == comm_.rank()) return own_factors(adapter, module);
  const auto place = received.find({adapter, module});
  D2C_EXPECTS(place != received.end());
  // The receiver keeps them.
  return {std::shared_ptr<const void>(), &place->second};
}

}  // namespace d2c::job
