#include "d2c/comm/node_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "d2c/core/digest.hpp"

namespace d2c::comm {
namespace {

/// A descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// Address without a file: a name in Linux' abstract space, which ends with its last socket.
struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

Address address_of(std::uint64_t key) {
  const std::string text = "d2c-file-" + std::to_string(key);
  Address address;
  address.name.sun_family = AF_UNIX;
  std::copy(text.begin(), text.end(), address.name.sun_path + 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  return address;
}

sockaddr* raw(Address& address) { return reinterpret_cast<sockaddr*>(&address.name); }

/// One byte of data with room for a descriptor beside it.
struct Message {
  Message() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
};

void send_descriptor(int socket, int descriptor) {
  Message message;
  cmsghdr* control = CMSG_FIRSTHDR(&message.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(control), &descriptor, sizeof(int));
  static_cast<void>(::sendmsg(socket, &message.header, MSG_NOSIGNAL));
}

/// @return  -1 if none came
int receive_descriptor(int socket) {
  Message message;
  if (::recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC) <= 0) return -1;
  const cmsghdr* control = CMSG_FIRSTHDR(&message.header);
  if (control == nullptr || control->cmsg_type != SCM_RIGHTS) return -1;
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(control), sizeof(int));
  return descriptor;
}

int open_here(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

}  // namespace

std::vector<std::uint64_t> hosts(Communicator& comm) {
  std::array<char, 256> name{};
  static_cast<void>(::gethostname(name.data(), name.size() - 1));
  const std::uint64_t hash = Digest().update(std::string_view(name.data())).value();
  std::vector<std::uint64_t> result;
  for (const auto& part : all_gather_values<std::uint64_t>(comm, std::span(&hash, 1))) {
    result.push_back(part.front());
  }
  return result;
}

int open_once_per_host(Communicator& comm, const std::filesystem::path& file) {
  const std::vector<std::uint64_t> host = hosts(comm);
  const auto own = static_cast<std::size_t>(comm.rank());
  const auto leader = static_cast<std::size_t>(std::ranges::find(host, host[own]) - host.begin());
  const bool is_leader = leader == own;

  // Descriptor or -errno, and the key of the leader's socket (0 = it has none).
  std::array<std::int64_t, 2> offer{-EAGAIN, 0};
  const Descriptor listener(is_leader ? ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1);
  if (is_leader) {
    offer[0] = open_here(file);
    const std::uint64_t key = std::random_device{}() + (std::uint64_t{1} << 33);
    Address address = address_of(key);
    if (listener.ok() && ::bind(listener.get(), raw(address), address.size) == 0 &&
        ::listen(listener.get(), SOMAXCONN) == 0) {
      offer[1] = static_cast<std::int64_t>(key);
    }
  }
  const auto offers = all_gather_values<std::int64_t>(comm, std::span<const std::int64_t>(offer));
  const std::int64_t leaders_file = offers[leader][0];

  // A leader accepts nobody before all have tried: none may wait for room in its queue, which holds
  // net.core.somaxconn.
  const Descriptor link(!is_leader && leaders_file >= 0 && offers[leader][1] != 0
                            ? ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                            : -1);
  std::uint64_t connected = 0;
  if (link.ok()) {
    Address address = address_of(static_cast<std::uint64_t>(offers[leader][1]));
    connected = ::connect(link.get(), raw(address), address.size) == 0 &&
                        ::fcntl(link.get(), F_SETFL, 0) == 0
                    ? 1
                    : 0;
  }
  // The leader waits only for those that are there.
  const auto all = all_gather_values<std::uint64_t>(comm, std::span(&connected, 1));
  if (is_leader) {
    for (std::size_t rank = 0; rank < host.size(); ++rank) {
      if (host[rank] != host[own] || all[rank].front() == 0) continue;
      const Descriptor peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer.ok()) send_descriptor(peer.get(), static_cast<int>(leaders_file));
    }
    return static_cast<int>(leaders_file);
  }
  if (leaders_file < 0) return static_cast<int>(leaders_file);
  const int received = connected == 1 ? receive_descriptor(link.get()) : -1;
  return received >= 0 ? received : open_here(file);
}

}  // namespace d2c::comm
