#include "distill/training_file.hpp"

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "d2c/core/checksum.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

// A file is its key, then each part behind its checksum.
constexpr std::size_t head_bytes = sizeof(std::uint64_t);
constexpr std::size_t check_bytes = sizeof(std::uint32_t);

template <class T>
std::vector<std::byte> raw_bytes(T value) {
  std::vector<std::byte> bytes;
  append_wire(bytes, std::span<const T>(&value, 1));
  return bytes;
}

/// The bytes of a part, on rank 0.
std::vector<std::byte> bring(comm::Communicator& comm, const StatePart& part,
                             const std::function<std::vector<std::byte>()>& own) {
  std::vector<comm::Parcel> outgoing;
  std::vector<comm::Parcel> incoming;
  if (part.by == comm.rank()) {
    outgoing.push_back({0, own()});
    D2C_EXPECTS(outgoing.front().bytes.size() == part.bytes);
  }
  if (comm.is_root()) incoming.push_back({part.by, std::vector<std::byte>(part.bytes)});
  if (!outgoing.empty() || !incoming.empty()) comm.exchange(outgoing, incoming);
  return incoming.empty() ? std::vector<std::byte>{} : std::move(incoming.front().bytes);
}

/// This rank's parts, if the file is what it should be.
std::optional<std::vector<std::vector<std::byte>>> read_own(const comm::Communicator& comm,
                                                            const fs::path& path, std::uint64_t key,
                                                            std::span<const StatePart> parts) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    const InputFile file(path);
    std::uint64_t end = head_bytes;
    for (const StatePart& part : parts) end += check_bytes + part.bytes;
    if (file.size() != end || file.read(0, head_bytes) != raw_bytes(key)) return std::nullopt;
    std::vector<std::vector<std::byte>> own;
    std::uint64_t place = head_bytes;
    for (const StatePart& part : parts) {
      if (part.by == comm.rank()) {
        own.push_back(file.read(place + check_bytes, part.bytes));
        if (file.read(place, check_bytes) != raw_bytes(crc32(own.back()))) return std::nullopt;
      }
      place += check_bytes + part.bytes;
    }
    return own;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

void write_state(comm::Communicator& comm, const fs::path& file, std::uint64_t key,
                 std::span<const StatePart> parts,
                 const std::function<std::vector<std::byte>(std::size_t)>& part) {
  std::unique_ptr<PendingFile> pending;
  std::exception_ptr failure;
  const auto attempt = [&](const auto& work) {
    if (!comm.is_root() || failure != nullptr) return;
    try {
      work();
    } catch (const Error&) {
      failure = std::current_exception();
    }
  };
  attempt([&] {
    pending = std::make_unique<PendingFile>(file);
    pending->append(raw_bytes(key));
  });
  // The others go on sending where rank 0 cannot write.
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::vector<std::byte> bytes = bring(comm, parts[i], [&] { return part(i); });
    attempt([&] {
      pending->append(raw_bytes(crc32(bytes)));
      pending->append(bytes);
    });
  }
  attempt([&] { pending->publish(); });
  comm::agree(comm, [&] {
    if (failure != nullptr) std::rethrow_exception(failure);
  });
}

bool read_state(
    comm::Communicator& comm, const fs::path& file, std::uint64_t key,
    std::span<const StatePart> parts,
    const std::function<void(std::size_t index, std::span<const std::byte> bytes)>& take) {
  const auto own = read_own(comm, file, key, parts);
  std::array<double, 1> found{own ? 1.0 : 0.0};
  comm.minimum(found);
  if (found[0] == 0.0) return false;
  std::size_t next = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].by == comm.rank()) take(i, (*own)[next++]);
  }
  return true;
}

}  // namespace d2c::job
