#include "d2c/model/weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/safetensors/sharded_reader.hpp"
#include "d2c/safetensors/wrapped_name.hpp"
#include "d2c/tensor/dtype.hpp"

#include "weight_layout.hpp"

namespace d2c::model {
namespace {

/// A placement and the tensor that fills it: the same name, except where embeddings are tied.
struct Source {
  TensorPlace placement;
  std::string tensor;
};

std::string weight(const std::string& module) { return module + ".weight"; }

/// The name of a tensor in the files: the model's own, or the one of an earlier release.
std::string stored_name(const safetensors::ShardedReader& reader, const ModelConfig& config,
                        const std::string& tensor) {
  if (reader.contains(tensor)) return tensor;
  for (const auto& [now, before] : config.spellings) {
    if (!tensor.starts_with(now)) continue;
    std::string earlier = before + tensor.substr(now.size());
    if (reader.contains(earlier)) return earlier;
  }
  return tensor;
}

/// Names the reason where a tensor is there under the name that a wrapper gave it.
void refuse_wrapped(const safetensors::ShardedReader& reader, const std::string& tensor) {
  for (const auto& [name, info] : reader.tensors()) {
    const auto wrapped = safetensors::find_wrapper(name);
    if (!wrapped || wrapped->bare != tensor) continue;
    throw InputError({reader.file_of(name), name},
                     {fmt::format("has '{}' in its name, from {}", wrapped->part, wrapped->wrapper),
                      fmt::format("the model's tensor is called {}", tensor),
                      "save the model without the wrapper, or rename the tensors"});
  }
}

void check_shape(const safetensors::ShardedReader& reader, const Source& source) {
  if (!reader.contains(source.tensor)) {
    refuse_wrapped(reader, source.tensor);
    throw InputError(
        {reader.file_of(source.tensor), source.tensor},
        {fmt::format("the tensor is missing; its shape would be {}", source.placement.shape),
         "config.json asks for it", "check that the files belong together"});
  }
  const std::vector<Index>& found = reader.info(source.tensor).shape;
  if (found != source.placement.shape) {
    throw ShapeMismatch({reader.file_of(source.tensor), source.tensor},
                        {fmt::format("has shape {}", found),
                         fmt::format("config.json says {}", source.placement.shape),
                         "check that the files belong together"},
                        found, source.placement.shape);
  }
}

bool is_harmless(const ModelConfig& config, const std::string& tensor) {
  return tensor.ends_with("rotary_emb.inv_freq") ||
         std::ranges::any_of(config.other_parts, [&](const std::string& beginning) {
           return tensor.starts_with(beginning);
         });
}

/// The tensor of each placement, after all names and shapes have been checked.
std::vector<Source> match_tensors(const safetensors::ShardedReader& reader,
                                  const ModelConfig& config,
                                  const std::vector<TensorPlace>& placements) {
  const std::string embedding = weight(config.names.embedding);
  const std::string head = stored_name(reader, config, weight(config.names.head));
  std::set<std::string> known;
  std::vector<Source> sources;
  for (const TensorPlace& placement : placements) {
    std::string tensor = stored_name(reader, config, placement.tensor);
    const bool is_head = config.tied_embeddings && placement.tensor == embedding &&
                         !reader.contains(tensor) && reader.contains(head);
    sources.push_back({placement, is_head ? head : std::move(tensor)});
    check_shape(reader, sources.back());
    known.insert(sources.back().tensor);
  }
  if (config.tied_embeddings) known.insert(head);
  for (const auto& [tensor, info] : reader.tensors()) {
    if (known.contains(tensor) || is_harmless(config, tensor)) continue;
    throw InputError({reader.file_of(tensor), tensor},
                     {fmt::format("the tensor of shape {} is not part of a {} model with this "
                                  "config.json",
                                  info.shape, config.family),
                      "leaving it out would change what the model computes",
                      "check that the files belong together"});
  }
  return sources;
}

/// Whether two matrices hold the same values, in whatever types; row by row, as they may be large.
bool equal_values(const safetensors::ShardedReader& reader, const std::string& one,
                  const std::string& other) {
  const std::vector<Index>& shape = reader.info(one).shape;
  if (shape != reader.info(other).shape || shape.size() != 2) return false;
  std::vector<float> row(static_cast<std::size_t>(shape[1]));
  std::vector<float> other_row(row.size());
  for (Index r = 0; r < shape[0]; ++r) {
    reader.read_rows(one, r, 1, row);
    reader.read_rows(other, r, 1, other_row);
    if (row != other_row) return false;
  }
  return true;
}

/// With tied embeddings, a checkpoint that holds both must hold the same values twice.
void check_tied_copies(const safetensors::ShardedReader& reader, const ModelConfig& config) {
  const std::string embedding = stored_name(reader, config, weight(config.names.embedding));
  const std::string head = stored_name(reader, config, weight(config.names.head));
  if (!config.tied_embeddings || !reader.contains(embedding) || !reader.contains(head)) return;
  const bool is_one_type = reader.info(embedding).dtype == reader.info(head).dtype;
  if (is_one_type ? std::ranges::equal(reader.bytes(embedding), reader.bytes(head))
                  : equal_values(reader, embedding, head)) {
    return;
  }
  throw InputError({reader.file_of(head), head},
                   {fmt::format("differs from {}", embedding),
                    "config.json says tie_word_embeddings, so they are one tensor",
                    "set tie_word_embeddings to false, or remove the tensor that is not in use"});
}

/// The largest relative change of a value by rounding to BF16.
double rounding_to_bf16(std::span<const float> values, const safetensors::ShardedReader& reader,
                        const std::string& tensor) {
  float largest = 0.0F;
  for (const float value : values) {
    const float rounded = float_from_bf16(bf16_from_float(value));
    if (!std::isfinite(rounded)) {
      throw InputError({reader.file_of(tensor), tensor},
                       {fmt::format("the value {} is too large for BF16", value),
                        "the weights could not be stored in it", "use --weights f32"});
    }
    if (rounded != value) largest = std::max(largest, std::abs((rounded - value) / value));
  }
  return static_cast<double>(largest);
}

/// The memory of a packed matrix, as values of its format.
template <class Value>
std::span<Value> values_at(std::span<std::byte> memory, std::size_t offset, std::size_t n) {
  const auto bytes = memory.subspan(offset, n * sizeof(Value));
  return {std::launder(reinterpret_cast<Value*>(bytes.data())), n};
}

/// @return largest relative change by rounding to the format
double fill_matrix(const safetensors::ShardedReader& reader, const Source& source,
                   ops::WeightFormat format, std::span<std::byte> memory) {
  constexpr Index floats_at_a_time = Index{1} << 20;
  const TensorPlace& placement = source.placement;
  const Index n_rows = placement.shape[0];
  const Index d_in = placement.shape[1];
  const Index rows_at_a_time = std::max(floats_at_a_time / d_in, Index{1});
  double rounding = 0.0;
  std::vector<float> values;
  for (Index row = 0; row < n_rows; row += rows_at_a_time) {
    const Index count = std::min(rows_at_a_time, n_rows - row);
    values.resize(static_cast<std::size_t>(count * d_in));
    reader.read_rows(source.tensor, row, count, values);
    const ops::ConstRows rows{values.data(), count, d_in, d_in};
    const Index first = placement.first_row + row;
    if (format == ops::WeightFormat::bf16) {
      if (reader.info(source.tensor).dtype != DType::bf16) {
        rounding = std::max(rounding, rounding_to_bf16(values, reader, source.tensor));
      }
      ops::pack_rows(rows, first, placement.d_out,
                     values_at<ops::BFloat16>(memory, placement.offset,
                                              ops::packed_bfloats(placement.d_out, d_in)));
    } else {
      ops::pack_rows(
          rows, first, placement.d_out,
          values_at<float>(memory, placement.offset, ops::packed_floats(placement.d_out, d_in)));
    }
  }
  return rounding;
}

void fill_vector(const safetensors::ShardedReader& reader, const Source& source,
                 std::span<std::byte> memory) {
  std::vector<float> values = reader.vector(source.tensor);
  if (source.placement.added != 0.0F) {
    for (float& value : values) value += source.placement.added;
  }
  std::ranges::copy(values,
                    values_at<float>(memory, source.placement.offset, values.size()).begin());
}

void write_embedding_scale(const ModelConfig& config, const WeightLayout& plan, DType stored,
                           std::span<std::byte> memory) {
  if (config.embedding_scale == 1.0) return;
  auto scale = static_cast<float>(config.embedding_scale);
  if (config.embedding_scale_is_stored) {
    if (stored == DType::bf16) scale = float_from_bf16(bf16_from_float(scale));
    if (stored == DType::f16) scale = float_from_f16(f16_from_float(scale));
  }
  values_at<float>(memory, plan.embedding_scale, 1).front() = scale;
}

std::span<std::byte> allocate(WeightStorage& storage, std::size_t n_bytes) {
  const std::span<std::byte> bytes = storage.allocate(n_bytes);
  D2C_EXPECTS(bytes.size() == n_bytes);
  return bytes;
}

/// Uniform in [-0.05, 0.05).
class RandomValues {
 public:
  float next() {
    // Source: the multiplier of Knuth's MMIX generator; the upper bits are good enough here.
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<float>(state_ >> 40U) * (0.1F / (1U << 24U)) - 0.05F;
  }

 private:
  std::uint64_t state_ = 1;
};

}  // namespace

std::span<std::byte> HeapStorage::allocate(std::size_t bytes) {
  memory_.resize(bytes);
  return memory_;
}

ops::WeightFormat weight_format(const std::filesystem::path& folder, Precision precision,
                                const safetensors::ShardedReader* weights) {
  const bool wants_bf16 = precision.compute == ops::Arithmetic::bf16;
  if (precision.weights == WeightChoice::f32) {
    if (!wants_bf16) return ops::WeightFormat::f32;
    throw UsageError({"--compute bf16 does not go with --weights f32",
                      "its products read weights in BF16", "leave one of them out"});
  }
  if (precision.weights == WeightChoice::bf16) return ops::WeightFormat::bf16;
  if (weights == nullptr) {
    const safetensors::ShardedReader opened(folder);
    return weight_format(folder, precision, &opened);
  }
  const bool exact = std::ranges::all_of(weights->tensors(), [](const auto& tensor) {
    return tensor.second.shape.size() != 2 || tensor.second.dtype == DType::bf16;
  });
  if (wants_bf16 && !exact) {
    throw UsageError(
        {fmt::format("--compute bf16: the weights in {} are not BF16", folder.string()),
         "its products read weights in BF16, and rounding changes the model",
         "add --weights bf16 to round them, or use --compute f32"});
  }
  return exact ? ops::WeightFormat::bf16 : ops::WeightFormat::f32;
}

void check_processor(ops::Arithmetic compute) {
  if (ops::is_supported(compute)) return;
  throw UsageError({"--compute bf16: this processor has no AVX512_BF16",
                    "products of BF16 pairs are its instruction",
                    "use --compute f32, or a processor that has it on every node (AMD Zen 4, Intel "
                    "Cooper Lake, Sapphire Rapids or later)"});
}

void compute_in(ops::Arithmetic arithmetic, Weights& weights) {
  const auto set = [arithmetic](ops::PackedMatrix& w) { w = w.with(arithmetic); };
  set(weights.head);
  for (LayerWeights& layer : weights.layers) {
    set(layer.qkv);
    set(layer.o);
    set(layer.gate_up);
    set(layer.down);
  }
}

std::size_t weight_bytes(const ModelConfig& config, ops::WeightFormat format) {
  return lay_out_weights(config, format, nullptr).n_bytes;
}

void check_weights(const safetensors::ShardedReader& weights, const ModelConfig& config) {
  const WeightLayout plan = lay_out_weights(config, ops::WeightFormat::f32, nullptr);
  static_cast<void>(match_tensors(weights, config, plan.placements));
}

Weights load_weights(const std::filesystem::path& folder, const ModelConfig& config,
                     ops::WeightFormat format, WeightStorage& storage) {
  const WeightLayout plan = lay_out_weights(config, format, nullptr);
  std::optional<safetensors::ShardedReader> reader;
  std::vector<Source> sources;
  if (storage.should_fill()) {
    reader.emplace(folder);
    sources = match_tensors(*reader, config, plan.placements);
    check_tied_copies(*reader, config);
  }
  const std::span<std::byte> memory = allocate(storage, plan.n_bytes);
  double rounding = 0.0;
  for (const Source& source : sources) {
    if (source.placement.d_out > 0) {
      rounding = std::max(rounding, fill_matrix(*reader, source, format, memory));
    } else {
      fill_vector(*reader, source, memory);
    }
  }
  if (reader) {
    write_embedding_scale(config, plan, reader->info(sources.front().tensor).dtype, memory);
  }
  Weights weights = lay_out_weights(config, format, memory.data()).views;
  weights.largest_rounding = rounding;
  return weights;
}

Weights random_weights(const ModelConfig& config, ops::WeightFormat format,
                       WeightStorage& storage) {
  const WeightLayout plan = lay_out_weights(config, format, nullptr);
  const std::span<std::byte> memory = allocate(storage, plan.n_bytes);
  RandomValues random;
  if (format == ops::WeightFormat::bf16) {
    for (auto& value : values_at<ops::BFloat16>(memory, 0, plan.n_bytes / sizeof(ops::BFloat16))) {
      value = ops::BFloat16{bf16_from_float(random.next())};
    }
  } else {
    for (float& value : values_at<float>(memory, 0, plan.n_bytes / sizeof(float))) {
      value = random.next();
    }
  }
  for (const TensorPlace& placement : plan.placements) {
    if (placement.d_out > 0) continue;
    const auto n = static_cast<std::size_t>(placement.shape[0]);
    for (float& value : values_at<float>(memory, placement.offset, n)) value = random.next();
  }
  write_embedding_scale(config, plan, DType::f32, memory);
  return lay_out_weights(config, format, memory.data()).views;
}

}  // namespace d2c::model
