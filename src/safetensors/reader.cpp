#include "d2c/safetensors/reader.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

#include "header.hpp"

namespace d2c::safetensors {
namespace {

bool is_not_finite(float value) {
  constexpr std::uint32_t exponent = 0x7f800000;
  return (std::bit_cast<std::uint32_t>(value) & exponent) == exponent;
}

/// Position of the first value that is not finite, or -1. The first pass has no early exit, so
/// that it vectorises: it runs over every weight of the base model.
Index first_not_finite(std::span<const float> values) {
  std::uint32_t any = 0;
  for (const float value : values) any |= static_cast<std::uint32_t>(is_not_finite(value));
  if (any == 0) return -1;
  return std::ranges::find_if(values, is_not_finite) - values.begin();
}

}  // namespace

Reader::Reader(const std::filesystem::path& file)
    : file_(file), mapping_(std::make_unique<MappedFile>(file)), content_(mapping_->bytes()) {
  parse();
}

Reader::Reader(std::filesystem::path file, std::vector<std::byte> content)
    : file_(std::move(file)), owned_(std::move(content)), content_(owned_) {
  parse();
}

void Reader::parse() {
  Header header = parse_header(content_, file_);
  tensors_ = std::move(header.tensors);
  data_begin_ = header.data_begin;
}

const TensorInfo& Reader::info(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw InputError({file_, name}, {"the tensor is not in the file", "it is needed",
                                     "check that the file belongs to this model"});
  }
  return found->second;
}

std::span<const std::byte> Reader::bytes(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  return content_.subspan(data_begin_ + tensor.begin, tensor.end - tensor.begin);
}

const TensorInfo& Reader::float_info(const std::string& name, std::size_t n_dimensions) const {
  const TensorInfo& tensor = info(name);
  if (!is_float(tensor.dtype)) {
    throw InputError({file_, name},
                     {fmt::format("has dtype {}", name_of(tensor.dtype)),
                      "F32, F16, BF16 or F64 is needed", "use weights that are not quantised"});
  }
  if (tensor.shape.size() != n_dimensions) {
    throw InputError({file_, name}, {fmt::format("has shape {}", tensor.shape),
                                     fmt::format("{} dimensions are needed", n_dimensions),
                                     "check that the file belongs to this model"});
  }
  return tensor;
}

void Reader::read(const std::string& name, const TensorInfo& tensor, Index first,
                  std::span<float> target) const {
  const std::size_t width = size_of(tensor.dtype);
  const std::size_t begin = data_begin_ + tensor.begin + static_cast<std::size_t>(first) * width;
  convert_to_float(content_.subspan(begin, target.size() * width), tensor.dtype, target);
  const Index bad = first_not_finite(target);
  if (bad < 0) return;
  const Index element = first + bad;
  const std::string place =
      tensor.shape.size() == 2
          ? fmt::format("[{}, {}]", element / tensor.shape[1], element % tensor.shape[1])
          : fmt::format("[{}]", element);
  throw InputError({file_, name},
                   {fmt::format("value at {} is {}", place, target[static_cast<std::size_t>(bad)]),
                    "every weight must be a finite float32 number",
                    "the training diverged or the file is damaged: use another checkpoint"});
}

Matrix Reader::matrix(const std::string& name) const {
  const TensorInfo& tensor = float_info(name, 2);
  Matrix result(tensor.shape[0], tensor.shape[1]);
  read(name, tensor, 0, result.values());
  return result;
}

std::vector<float> Reader::vector(const std::string& name) const {
  const TensorInfo& tensor = float_info(name, 1);
  std::vector<float> result(static_cast<std::size_t>(tensor.shape[0]));
  read(name, tensor, 0, result);
  return result;
}

void Reader::read_rows(const std::string& name, Index first, Index count,
                       std::span<float> target) const {
  const TensorInfo& tensor = float_info(name, 2);
  D2C_EXPECTS(first >= 0 && count >= 0 && first + count <= tensor.shape[0]);
  D2C_EXPECTS(std::ssize(target) == count * tensor.shape[1]);
  read(name, tensor, first * tensor.shape[1], target);
}

}  // namespace d2c::safetensors
