#include "d2c/model/weights.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <new>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/safetensors/sharded_reader.hpp"

#include "weight_layout.hpp"

namespace d2c::model {
namespace {

/// A placement and the tensor that fills it: the same name, except where embeddings are tied.
struct Source {
  Placement placement;
  std::string tensor;
};

std::string weight(const std::string& module) { return module + ".weight"; }

void check_shape(const safetensors::ShardedReader& reader, const Source& source) {
  if (!reader.contains(source.tensor)) {
    throw InputError(
        {reader.file_of(source.tensor), source.tensor},
        {fmt::format("the tensor is missing; its shape would be {}", source.placement.shape),
         "config.json asks for it", "check that the files belong together"});
  }
  const std::vector<Index>& found = reader.info(source.tensor).shape;
  if (found != source.placement.shape) {
    throw InputError({reader.file_of(source.tensor), source.tensor},
                     {fmt::format("has shape {}", found),
                      fmt::format("config.json says {}", source.placement.shape),
                      "check that the files belong together"});
  }
}

bool is_harmless(const std::string& tensor) { return tensor.ends_with("rotary_emb.inv_freq"); }

/// The tensor of each placement, after all names and shapes have been checked.
std::vector<Source> match_tensors(const safetensors::ShardedReader& reader,
                                  const ModelConfig& config,
                                  const std::vector<Placement>& placements) {
  const std::string embedding = weight(config.names.embedding);
  const std::string head = weight(config.names.head);
  std::set<std::string> known;
  std::vector<Source> sources;
  for (const Placement& placement : placements) {
    const bool is_head = config.tied_embeddings && placement.tensor == embedding &&
                         !reader.contains(embedding) && reader.contains(head);
    sources.push_back({placement, is_head ? head : placement.tensor});
    check_shape(reader, sources.back());
    known.insert(sources.back().tensor);
  }
  if (config.tied_embeddings) known.insert(head);
  for (const auto& [tensor, info] : reader.tensors()) {
    if (known.contains(tensor) || is_harmless(tensor)) continue;
    throw InputError({reader.file_of(tensor), tensor},
                     {fmt::format("the tensor of shape {} is not part of a {} model with this "
                                  "config.json",
                                  info.shape, config.family),
                      "leaving it out would change what the model computes",
                      "check that the files belong together"});
  }
  return sources;
}

/// With tied embeddings, a checkpoint that holds both must hold the same values twice.
void check_tied_copies(const safetensors::ShardedReader& reader, const ModelConfig& config) {
  const std::string embedding = weight(config.names.embedding);
  const std::string head = weight(config.names.head);
  if (!config.tied_embeddings || !reader.contains(embedding) || !reader.contains(head)) return;
  if (reader.info(embedding).dtype == reader.info(head).dtype &&
      std::ranges::equal(reader.bytes(embedding), reader.bytes(head))) {
    return;
  }
  throw InputError({reader.file_of(head), head},
                   {fmt::format("differs from {}", embedding),
                    "config.json says tie_word_embeddings, so they are one tensor",
                    "set tie_word_embeddings to false, or remove the tensor that is not in use"});
}

void fill_matrix(const safetensors::ShardedReader& reader, const Source& source,
                 std::span<float> memory) {
  constexpr Index floats_at_a_time = Index{1} << 20;
  const Placement& placement = source.placement;
  const Index n_rows = placement.shape[0];
  const Index d_in = placement.shape[1];
  const auto panels = memory.subspan(placement.offset, ops::packed_floats(placement.d_out, d_in));
  const Index rows_at_a_time = std::max(floats_at_a_time / d_in, Index{1});
  std::vector<float> rows;
  for (Index row = 0; row < n_rows; row += rows_at_a_time) {
    const Index count = std::min(rows_at_a_time, n_rows - row);
    rows.resize(static_cast<std::size_t>(count * d_in));
    reader.read_rows(source.tensor, row, count, rows);
    ops::pack_rows({rows.data(), count, d_in, d_in}, placement.first_row + row, placement.d_out,
                   panels);
  }
}

void fill_vector(const safetensors::ShardedReader& reader, const Source& source,
                 std::span<float> memory) {
  const std::vector<float> values = reader.vector(source.tensor);
  std::ranges::copy(values, memory.subspan(source.placement.offset).begin());
}

std::span<float> allocate(WeightStorage& storage, std::size_t n_floats) {
  const std::span<std::byte> bytes = storage.allocate(n_floats * sizeof(float));
  D2C_EXPECTS(bytes.size() == n_floats * sizeof(float));
  return {std::launder(reinterpret_cast<float*>(bytes.data())), n_floats};
}

}  // namespace

std::span<std::byte> HeapStorage::allocate(std::size_t bytes) {
  memory_.resize(bytes / sizeof(float));
  return std::as_writable_bytes(std::span(memory_));
}

std::size_t weight_bytes(const ModelConfig& config) {
  return lay_out_weights(config, nullptr).n_floats * sizeof(float);
}

Weights load_weights(const std::filesystem::path& folder, const ModelConfig& config,
                     WeightStorage& storage) {
  const safetensors::ShardedReader reader(folder);
  const WeightLayout plan = lay_out_weights(config, nullptr);
  const std::vector<Source> sources = match_tensors(reader, config, plan.placements);
  const std::span<float> memory = allocate(storage, plan.n_floats);
  if (storage.should_fill()) {
    check_tied_copies(reader, config);
    for (const Source& source : sources) {
      if (source.placement.d_out > 0) {
        fill_matrix(reader, source, memory);
      } else {
        fill_vector(reader, source, memory);
      }
    }
  }
  return lay_out_weights(config, memory.data()).views;
}

Weights random_weights(const ModelConfig& config, WeightStorage& storage) {
  const WeightLayout plan = lay_out_weights(config, nullptr);
  const std::span<float> memory = allocate(storage, plan.n_floats);
  std::uint64_t state = 1;
  for (float& value : memory) {
    // Source: the multiplier of Knuth's MMIX generator; the upper bits are good enough here.
    state = state * 6364136223846793005U + 1442695040888963407U;
    value = static_cast<float>(state >> 40U) * (0.1F / (1U << 24U)) - 0.05F;
  }
  return lay_out_weights(config, memory.data()).views;
}

}  // namespace d2c::model
