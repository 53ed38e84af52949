#include "merging/merged_arena.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c::job {
namespace {

/// What stands before the values of A and B.
struct Header {
  std::int64_t rank = 0;
  double scaling = 1.0;
};

constexpr std::size_t header_bytes = comm::NodeMemory::aligned(sizeof(Header));

}  // namespace

MergedArena::MergedArena(comm::Communicator& comm, const AdapterStore& store, int ranks_per_node)
    : comm_(comm),
      store_(store),
      ranks_per_node_(ranks_per_node),
      nodes_(comm.nodes(ranks_per_node)) {}

std::size_t MergedArena::bytes_of(const lora::TargetModule& module, Index rank) {
  return header_bytes +
         comm::NodeMemory::aligned(static_cast<std::size_t>(rank * (module.d_in + module.d_out)) *
                                   sizeof(float));
}

void MergedArena::reset(std::vector<Part> parts) {
  parts_ = std::move(parts);
  of_adapter_.clear();
  std::vector<std::vector<std::size_t>> of_node(static_cast<std::size_t>(nodes_.n_nodes));
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    of_node[static_cast<std::size_t>(nodes_.of_rank[static_cast<std::size_t>(part.by)])].push_back(
        p);
    of_adapter_.resize(std::max(of_adapter_.size(), part.adapter + 1));
    of_adapter_[part.adapter].push_back(p);
  }
  offsets_.resize(parts_.size());
  node_begin_.assign(1, 0);
  std::size_t end = 0;
  for (const auto& of_this : of_node) {
    for (const std::size_t p : of_this) {
      offsets_[p] = end;
      end += bytes_of(store_.modules()[parts_[p].module], parts_[p].rank);
    }
    node_begin_.push_back(end);
  }
  if (memory_ == nullptr || memory_->bytes().size() < end) {
    memory_.reset();
    memory_ = comm_.allocate_on_node(std::max(end, comm::NodeMemory::alignment), ranks_per_node_);
  } else {
    // Nobody writes while another rank of the node still reads what was there.
    memory_->publish();
  }
}

void MergedArena::write(std::size_t part, const lora::Factors& factors) {
  const Part& place = parts_[part];
  D2C_EXPECTS(place.by == comm_.rank() && factors.rank() <= place.rank);
  std::byte* to = memory_->bytes().data() + offsets_[part];
  const Header header{factors.rank(), factors.scaling};
  std::memcpy(to, &header, sizeof(header));
  const auto a = std::as_bytes(factors.a.values());
  const auto b = std::as_bytes(factors.b.values());
  std::ranges::copy(a, to + header_bytes);
  std::ranges::copy(b, to + header_bytes + a.size());
}

void MergedArena::share() { memory_->share_parts(node_begin_); }

lora::FactorMap MergedArena::adapter(std::size_t index) const {
  lora::FactorMap adapter;
  if (index >= of_adapter_.size()) return adapter;
  for (const std::size_t p : of_adapter_[index]) {
    const lora::TargetModule& module = store_.modules()[parts_[p].module];
    const std::byte* from = memory_->bytes().data() + offsets_[p];
    Header header;
    std::memcpy(&header, from, sizeof(header));
    lora::Factors factors{Matrix(header.rank, module.d_in), Matrix(module.d_out, header.rank),
                          header.scaling};
    const auto a = std::as_writable_bytes(factors.a.values());
    const auto b = std::as_writable_bytes(factors.b.values());
    if (!a.empty()) std::memcpy(a.data(), from + header_bytes, a.size());
    if (!b.empty()) std::memcpy(b.data(), from + header_bytes + a.size(), b.size());
    adapter.emplace(module.name, std::move(factors));
  }
  return adapter;
}

}  // namespace d2c::job
