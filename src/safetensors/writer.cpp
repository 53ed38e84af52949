#include "d2c/safetensors/writer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/pending.hpp"

#include "header.hpp"

namespace d2c::safetensors {
namespace {

/// Alignment first, so that every tensor starts at a multiple of its element size.
std::vector<const TensorToWrite*> file_order(std::span<const TensorToWrite> tensors) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, [](const TensorToWrite* left, const TensorToWrite* right) {
    const std::size_t left_size = size_of(left->dtype);
    const std::size_t right_size = size_of(right->dtype);
    return left_size != right_size ? left_size > right_size : left->name < right->name;
  });
  return order;
}

std::string header_text(std::span<const TensorToWrite* const> order,
                        const std::map<std::string, std::string>& metadata) {
  json::OrderedJson header = json::OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t begin = 0;
  for (const TensorToWrite* tensor : order) {
    D2C_EXPECTS(!header.contains(tensor->name));
    const std::size_t end = begin + tensor->values.size() * size_of(tensor->dtype);
    header[tensor->name] = {{"dtype", name_of(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

/// Rounds to the tensor's dtype. A value that is or becomes infinite would spoil the model that
/// reads it, so it is refused here.
std::vector<std::byte> encode(const TensorToWrite& tensor, const std::filesystem::path& file) {
  std::vector<std::byte> bytes(tensor.values.size() * size_of(tensor.dtype));
  convert_from_float(tensor.values, tensor.dtype, bytes);
  std::vector<float> stored(tensor.values.size());
  convert_to_float(bytes, tensor.dtype, stored);
  const auto bad = std::ranges::find_if_not(stored, [](float v) { return std::isfinite(v); });
  if (bad != stored.end()) {
    const auto position = static_cast<std::size_t>(bad - stored.begin());
    throw InputError({file, tensor.name},
                     {fmt::format("value {} at element {} is not finite in {}",
                                  tensor.values[position], position, name_of(tensor.dtype)),
                      "the file would hold infinities or NaN", "write it as F32 or BF16"});
  }
  return bytes;
}

}  // namespace

void write(const std::filesystem::path& file, std::span<const TensorToWrite> tensors,
           const std::map<std::string, std::string>& metadata) {
  for ([[maybe_unused]] const TensorToWrite& tensor : tensors) {
    D2C_EXPECTS(is_float(tensor.dtype));
    D2C_EXPECTS(std::ssize(tensor.values) == std::accumulate(tensor.shape.begin(),
                                                             tensor.shape.end(), Index{1},
                                                             std::multiplies<>()));
  }
  const auto order = file_order(tensors);
  const std::string header = header_text(order, metadata);
  const std::uint64_t length = header.size();

  PendingFile out(file);
  out.append(std::as_bytes(std::span(&length, 1)));
  out.append(header);
  for (const TensorToWrite* tensor : order) out.append(encode(*tensor, file));
  out.publish();
}

}  // namespace d2c::safetensors
