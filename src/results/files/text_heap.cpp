#include "files/text_heap.hpp"

#include <bit>
#include <cstring>

namespace d2c::results::h5 {
namespace {

// Of a collection and of each of its objects; what follows is in little-endian order.
constexpr std::size_t head_bytes = 16;

[[noreturn]] void refuse(const Where& where) {
  throw InputError(where, {"has a text that is not in the file",
                           "the file is damaged or was made up", "restore the file or run again"});
}

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t at) {
  static_assert(std::endian::native == std::endian::little);
  T value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

/// Keeps references as they are. @return whether they are what this code knows
herr_t keep_references(hid_t source, hid_t target, H5T_cdata_t* data, std::size_t /*n*/,
                       std::size_t /*stride*/, std::size_t /*background*/, void* /*values*/,
                       void* /*old*/, hid_t /*transfer*/) {
  if (data->command != H5T_CONV_INIT) return 0;
  data->need_bkg = H5T_BKG_NO;
  const bool fits = H5Tis_variable_str(source) > 0 && H5Tget_size(source) == reference_bytes &&
                    H5Tget_class(target) == H5T_OPAQUE && H5Tget_size(target) == reference_bytes;
  return fits ? 0 : -1;
}

}  // namespace

Type reference_type() {
  Type type(check_write(H5Tcreate(H5T_OPAQUE, reference_bytes), {}));
  static const bool registered = [&] {
    Type text = string_type();
    check_write(
        H5Tregister(H5T_PERS_SOFT, "d2c references", text.get(), type.get(), keep_references), {});
    close_written({}, text);
    return true;
  }();
  static_cast<void>(registered);
  return type;
}

std::vector<std::string> TextHeap::texts(std::span<const std::byte> references,
                                         const Where& where) const {
  std::vector<std::string> texts;
  texts.reserve(references.size() / reference_bytes);
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < references.size(); at += reference_bytes) {
    const auto length = number_at<std::uint32_t>(references, at);
    const auto address = number_at<std::uint64_t>(references, at + 4);
    const auto index = number_at<std::uint32_t>(references, at + 12);
    std::string& text = texts.emplace_back();
    if (length == 0) continue;
    const auto& objects = collection(address, where).objects;
    const auto object = objects.find(index);
    sum += length;
    if (object == objects.end() || length > object->second.size() || sum > file_.size()) {
      refuse(where);
    }
    text.assign(reinterpret_cast<const char*>(object->second.data()), length);
    text.resize(text.find('\0') == std::string::npos ? text.size() : text.find('\0'));
  }
  return texts;
}

const TextHeap::Collection& TextHeap::collection(std::uint64_t address, const Where& where) const {
  if (const auto known = known_.find(address); known != known_.end()) return known->second;
  if (address > file_.size() || file_.size() - address < head_bytes) refuse(where);
  const std::vector<std::byte> head = file_.read(address, head_bytes);
  const auto size = number_at<std::uint64_t>(head, 8);
  const bool is_one = std::memcmp(head.data(), "GCOL\1", 5) == 0;
  if (!is_one || size < head_bytes || size > file_.size() - address) refuse(where);
  Collection read;
  read.bytes = file_.read(address, size);
  const std::span<const std::byte> bytes = read.bytes;
  for (std::size_t at = head_bytes; bytes.size() - at >= head_bytes;) {
    const auto index = number_at<std::uint16_t>(bytes, at);
    const auto object_bytes = number_at<std::uint64_t>(bytes, at + 8);
    if (index == 0) break;  // free space, the last
    if (object_bytes > bytes.size() - at - head_bytes) refuse(where);
    read.objects.emplace(index, bytes.subspan(at + head_bytes, object_bytes));
    at += head_bytes + (object_bytes + 7) / 8 * 8;
    if (at > bytes.size()) break;
  }
  return known_.emplace(address, std::move(read)).first->second;
}

}  // namespace d2c::results::h5
