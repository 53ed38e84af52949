#include "d2c/safetensors/reader.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/core/mapped_file.hpp"

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

struct Reader::Impl {
  explicit Impl(const std::filesystem::path& path)
      : file(path),
        mapping(std::in_place, path),
        content(mapping->bytes()),
        header(parse_header(content, path)) {}
  Impl(std::filesystem::path path, std::vector<std::byte> bytes)
      : file(std::move(path)),
        owned(std::move(bytes)),
        content(owned),
        header(parse_header(content, file)) {}

  [[nodiscard]] const TensorInfo& info(const std::string& name) const {
    const auto found = header.tensors.find(name);
    if (found == header.tensors.end()) {
      throw InputError({file, name}, {"the tensor is not in the file", "it is needed",
                                      "check that the file belongs to this model"});
    }
    return found->second;
  }

  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo& tensor) const {
    return content.subspan(header.data_begin + tensor.begin, tensor.end - tensor.begin);
  }

  /// An entry of a float tensor with `n_dimensions` dimensions.
  [[nodiscard]] const TensorInfo& float_info(const std::string& name,
                                             std::size_t n_dimensions) const {
    const TensorInfo& tensor = info(name);
    if (!is_float(tensor.dtype)) {
      throw InputError({file, name},
                       {fmt::format("has dtype {}", name_of(tensor.dtype)),
                        "F32, F16, BF16 or F64 is needed", "use weights that are not quantised"});
    }
    if (tensor.shape.size() != n_dimensions) {
      throw InputError({file, name}, {fmt::format("has shape {}", tensor.shape),
                                      fmt::format("{} dimensions are needed", n_dimensions),
                                      "check that the file belongs to this model"});
    }
    return tensor;
  }

  /// Converts elements [first, first + target.size()).
  void read(const std::string& name, const TensorInfo& tensor, Index first,
            std::span<float> target) const {
    const std::size_t width = size_of(tensor.dtype);
    convert_to_float(
        bytes(tensor).subspan(static_cast<std::size_t>(first) * width, target.size() * width),
        tensor.dtype, target);
    const Index bad = first_not_finite(target);
    if (bad < 0) return;
    const Index element = first + bad;
    const std::string place =
        tensor.shape.size() == 2
            ? fmt::format("[{}, {}]", element / tensor.shape[1], element % tensor.shape[1])
            : fmt::format("[{}]", element);
    throw InputError(
        {file, name},
        {fmt::format("value at {} is {}", place, target[static_cast<std::size_t>(bad)]),
         "every weight must be a finite float32 number",
         "the training diverged or the file is damaged: use another checkpoint"});
  }

  std::filesystem::path file;
  std::optional<MappedFile> mapping;
  std::vector<std::byte> owned;  ///< the content, where there is no mapping
  std::span<const std::byte> content;
  Header header;
};

Reader::Reader(const std::filesystem::path& file) : impl_(std::make_unique<Impl>(file)) {}
Reader::Reader(std::filesystem::path file, std::vector<std::byte> content)
    : impl_(std::make_unique<Impl>(std::move(file), std::move(content))) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

const std::filesystem::path& Reader::file() const { return impl_->file; }
const std::map<std::string, TensorInfo>& Reader::tensors() const { return impl_->header.tensors; }
bool Reader::contains(const std::string& name) const {
  return impl_->header.tensors.contains(name);
}
const TensorInfo& Reader::info(const std::string& name) const { return impl_->info(name); }
std::span<const std::byte> Reader::content() const { return impl_->content; }
std::uint64_t Reader::data_begin() const { return impl_->header.data_begin; }
std::span<const std::byte> Reader::bytes(const std::string& name) const {
  return impl_->bytes(impl_->info(name));
}

Matrix Reader::matrix(const std::string& name) const {
  const TensorInfo& tensor = impl_->float_info(name, 2);
  Matrix result(tensor.shape[0], tensor.shape[1]);
  impl_->read(name, tensor, 0, result.values());
  return result;
}

std::vector<float> Reader::vector(const std::string& name) const {
  const TensorInfo& tensor = impl_->float_info(name, 1);
  std::vector<float> result(static_cast<std::size_t>(tensor.shape[0]));
  impl_->read(name, tensor, 0, result);
  return result;
}

void Reader::read_rows(const std::string& name, Index first, Index count,
                       std::span<float> target) const {
  const TensorInfo& tensor = impl_->float_info(name, 2);
  D2C_EXPECTS(first >= 0 && count >= 0 && first + count <= tensor.shape[0]);
  D2C_EXPECTS(std::ssize(target) == count * tensor.shape[1]);
  impl_->read(name, tensor, first * tensor.shape[1], target);
}

}  // namespace d2c::safetensors
