#include "similarity/visiting_factors.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace d2c::job {
namespace {

lora::Shape shape_of(const AdapterStore& store, ModuleId module) {
  const lora::TargetModule& target = store.modules()[module];
  return {target.d_in, target.d_out};
}

std::size_t n_values(const AdapterStore& store, const VisitingFactors::Part& part) {
  return static_cast<std::size_t>(store.rank_of(part.adapter, part.module) *
                                  shape_of(store, part.module).width());
}

}  // namespace

VisitingFactors::VisitingFactors(comm::Communicator& comm, const AdapterStore& store,
                                 int ranks_per_node)
    : comm_(comm),
      store_(store),
      ranks_per_node_(ranks_per_node),
      nodes_(comm.nodes(ranks_per_node)) {}

std::uint64_t VisitingFactors::bytes_of(const AdapterStore& store, const Part& part) {
  return sizeof(double) + n_values(store, part) * sizeof(float);
}

void VisitingFactors::lay_out() {
  std::vector<std::vector<std::size_t>> of_node(static_cast<std::size_t>(nodes_.n_nodes));
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const auto owner = static_cast<std::size_t>(store_.owner(parts_[p].adapter));
    of_node[static_cast<std::size_t>(nodes_.of_rank[owner])].push_back(p);
  }
  places_.assign(parts_.size(), {});
  node_begin_.assign(1, 0);
  std::size_t end = 0;
  for (const auto& of_this : of_node) {
    // Rows of one module stand below each other.
    for (const std::size_t p : of_this) {
      places_[p].scaling = end;
      end += sizeof(double);
    }
    for (const std::size_t p : of_this) {
      places_[p].rows = end;
      end += n_values(store_, parts_[p]) * sizeof(float);
    }
    end = comm::NodeMemory::aligned(end);
    node_begin_.push_back(end);
  }
}

void VisitingFactors::bring(std::vector<Part> parts, const Fetch& fetch) {
  parts_ = std::move(parts);
  lay_out();
  const std::size_t size = std::max(node_begin_.back(), comm::NodeMemory::alignment);
  if (memory_ == nullptr || memory_->bytes().size() < size) {
    memory_.reset();
    memory_ = comm_.allocate_on_node(size, ranks_per_node_);
  } else {
    // Nobody writes while another rank of the node still reads what was there.
    memory_->publish();
  }
  std::byte* memory = memory_->bytes().data();
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    if (store_.owner(parts_[p].adapter) != comm_.rank()) continue;
    const std::shared_ptr<const lora::Factors> factors = fetch(parts_[p]);
    std::memcpy(memory + places_[p].scaling, &factors->scaling, sizeof(double));
    lora::write_components(*factors, {reinterpret_cast<float*>(memory + places_[p].rows),
                                      n_values(store_, parts_[p])});
  }
  memory_->share_parts(node_begin_);
}

lora::Components VisitingFactors::components(std::size_t part) const {
  const std::byte* memory = memory_->bytes().data();
  lora::Components result;
  result.rows = reinterpret_cast<const float*>(memory + places_[part].rows);
  result.rank = store_.rank_of(parts_[part].adapter, parts_[part].module);
  std::memcpy(&result.scaling, memory + places_[part].scaling, sizeof(double));
  return result;
}

}  // namespace d2c::job
