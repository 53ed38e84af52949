#include "header.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

namespace d2c::safetensors {
namespace {

using json::Json;

constexpr const char* metadata_key = "__metadata__";
constexpr const char* fetch_again = "download or write the file again";

/// Refusals that name the file and one of its tensors.
class Place {
 public:
  Place(const std::filesystem::path& file, std::string item)
      : file_(file), item_(std::move(item)) {}

  [[noreturn]] void refuse(std::string what, std::string why, std::string fix = fetch_again) const {
    throw InputError({file_, item_}, {std::move(what), std::move(why), std::move(fix)});
  }

 private:
  const std::filesystem::path& file_;
  std::string item_;
};

std::string_view header_text(std::span<const std::byte> content, const Place& place) {
  if (content.size() < prefix_bytes) {
    place.refuse(fmt::format("holds {} bytes", content.size()),
                 "a safetensors file starts with 8 bytes of header length; the file is truncated");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, content.data(), prefix_bytes);
  if (length > max_header_bytes) {
    place.refuse(fmt::format("header length {} exceeds {}", length, max_header_bytes),
                 "this is not a safetensors file, or its start is damaged");
  }
  if (length > content.size() - prefix_bytes) {
    place.refuse(fmt::format("header length {} exceeds the {} bytes that follow", length,
                             content.size() - prefix_bytes),
                 "the file is truncated");
  }
  const std::string_view text(reinterpret_cast<const char*>(content.data()) + prefix_bytes, length);
  if (!text.starts_with('{')) {
    place.refuse("header does not start with '{'", "this is not a safetensors file");
  }
  return text;
}

void check_metadata(const Json& json, const std::filesystem::path& file) {
  const Place place(file, metadata_key);
  if (!json.is_object()) place.refuse("is not an object", "it must map text to text");
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) continue;
    place.refuse(fmt::format("value of '{}' is not text", key), "it must map text to text");
  }
}

const Json& field(const Json& entry, const char* name, const Place& place) {
  const auto found = entry.find(name);
  if (found == entry.end()) {
    place.refuse(fmt::format("lacks '{}'", name),
                 "every tensor needs dtype, shape and data_offsets");
  }
  return *found;
}

DType parse_dtype(const Json& json, const Place& place) {
  if (!json.is_string()) place.refuse("dtype is not text", "it names the element type");
  const auto name = json.get<std::string>();
  const auto dtype = dtype_from_name(name);
  if (!dtype) {
    place.refuse(fmt::format("unknown dtype '{}'", name), "the size of its elements is not known",
                 "convert the tensor to F32, F16 or BF16");
  }
  return *dtype;
}

std::vector<Index> parse_shape(const Json& json, const Place& place) {
  if (!json.is_array()) place.refuse("shape is not a list", "it gives the size of each dimension");
  std::vector<Index> shape;
  for (const Json& size : json) {
    if (!size.is_number_unsigned() || !std::in_range<Index>(size.get<std::uint64_t>())) {
      place.refuse(fmt::format("shape holds {}", size.dump()),
                   "sizes are whole numbers from 0 to 2^63 - 1");
    }
    shape.push_back(size.get<Index>());
  }
  return shape;
}

std::pair<std::uint64_t, std::uint64_t> parse_offsets(const Json& json, const Place& place) {
  if (!json.is_array() || json.size() != 2 || !json[0].is_number_unsigned() ||
      !json[1].is_number_unsigned()) {
    place.refuse("data_offsets is not a pair of whole numbers", "it gives begin and end in bytes");
  }
  return {json[0].get<std::uint64_t>(), json[1].get<std::uint64_t>()};
}

std::uint64_t byte_size(const TensorInfo& tensor, const Place& place) {
  Index count = 1;
  std::uint64_t size = 0;
  bool overflows = false;
  for (const Index dimension : tensor.shape) {
    overflows |= __builtin_mul_overflow(count, dimension, &count);
  }
  overflows |=
      __builtin_mul_overflow(static_cast<std::uint64_t>(count), size_of(tensor.dtype), &size);
  if (overflows) {
    place.refuse(fmt::format("shape {} overflows", tensor.shape), "no file can hold it");
  }
  return size;
}

TensorInfo parse_tensor(const Json& entry, const Place& place) {
  if (!entry.is_object()) place.refuse("entry is not an object", "it describes one tensor");
  TensorInfo tensor;
  tensor.dtype = parse_dtype(field(entry, "dtype", place), place);
  tensor.shape = parse_shape(field(entry, "shape", place), place);
  std::tie(tensor.begin, tensor.end) = parse_offsets(field(entry, "data_offsets", place), place);
  if (tensor.begin > tensor.end) {
    place.refuse(
        fmt::format("data_offsets [{}, {}] end before they begin", tensor.begin, tensor.end),
        "the header is damaged");
  }
  const std::uint64_t size = byte_size(tensor, place);
  if (tensor.end - tensor.begin != size) {
    place.refuse(fmt::format("data_offsets [{}, {}] hold {} bytes, but {} {} needs {}",
                             tensor.begin, tensor.end, tensor.end - tensor.begin,
                             name_of(tensor.dtype), tensor.shape, size),
                 "the header contradicts itself");
  }
  return tensor;
}

/// The tensors must tile [0, data_size) in some order.
void check_tiling(const std::map<std::string, TensorInfo>& tensors, std::uint64_t data_size,
                  const std::filesystem::path& file) {
  std::vector<const std::pair<const std::string, TensorInfo>*> order;
  order.reserve(tensors.size());
  for (const auto& entry : tensors) order.push_back(&entry);
  std::ranges::stable_sort(order, {}, [](const auto* entry) {
    return std::pair(entry->second.begin, entry->second.end);
  });
  std::uint64_t reached = 0;
  for (const auto* entry : order) {
    const auto& [name, tensor] = *entry;
    if (tensor.begin != reached) {
      Place(file, name)
          .refuse(fmt::format("data_offsets begin at {}, but the tensors before end at {}",
                              tensor.begin, reached),
                  tensor.begin > reached ? "the data has a hole" : "tensors overlap");
    }
    if (tensor.end > data_size) {
      Place(file, name)
          .refuse(
              fmt::format("data_offsets end at {}, but the data ends at {}", tensor.end, data_size),
              "the file is truncated");
    }
    reached = tensor.end;
  }
  if (reached != data_size) {
    Place(file, {}).refuse(
        fmt::format("the tensors end at byte {} of the data, the file at {}", reached, data_size),
        "bytes that belong to no tensor are not allowed");
  }
}

}  // namespace

Header parse_header(std::span<const std::byte> content, const std::filesystem::path& file) {
  const std::string_view text = header_text(content, Place(file, {}));
  const Json json = json::parse(text, file);
  Header header;
  header.data_begin = prefix_bytes + text.size();
  for (const auto& [name, entry] : json.items()) {
    if (name == metadata_key) {
      check_metadata(entry, file);
    } else {
      header.tensors.emplace(name, parse_tensor(entry, Place(file, name)));
    }
  }
  check_tiling(header.tensors, content.size() - header.data_begin, file);
  return header;
}

}  // namespace d2c::safetensors
