#include "files/owner.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <functional>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

#include "d2c/core/checksum.hpp"

namespace d2c {
namespace {

struct Tag {
  std::string host;
  pid_t process = 0;
  std::string start;
  std::string space;
};

/// When a process was started, in ticks since the boot; nothing of one that is not there or is a
/// zombie.
std::optional<std::string> start_of(pid_t process) {
  std::ifstream in(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(in, text);
  // The name of the program, in parentheses, may hold anything.
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos || end + 2 >= text.size()) return std::nullopt;
  text.erase(0, end + 2);
  if (text.front() == 'Z' || text.front() == 'X') return std::nullopt;
  constexpr int fields_before = 19;
  std::size_t at = 0;
  for (int field = 0; field < fields_before; ++field) at = text.find(' ', at) + 1;
  return text.substr(at, text.find(' ', at) - at);
}

std::string space() {
  std::string text;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), text);
  std::array<char, 64> name{};
  const ssize_t length = ::readlink("/proc/self/ns/pid", name.data(), name.size());
  if (length > 0) text.append(name.data(), static_cast<std::size_t>(length));
  return fmt::format("{:08x}", crc32(std::as_bytes(std::span(text))));
}

bool is_in_host(unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; }

std::string host() {
  constexpr std::size_t longest = 24;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "host";
  std::string text = std::string(name.data()).substr(0, longest);
  std::ranges::replace_if(text, std::not_fn(is_in_host), '_');
  return text.empty() ? "host" : text;
}

std::optional<Tag> parse(std::string_view text) {
  Tag tag;
  std::string process;
  for (std::string* part : {&tag.space, &tag.start, &process}) {
    const std::size_t dash = text.rfind('-');
    if (dash == std::string_view::npos) return std::nullopt;
    *part = text.substr(dash + 1);
    text = text.substr(0, dash);
    const bool is_hex =
        std::ranges::all_of(*part, [](unsigned char c) { return std::isxdigit(c) != 0; });
    if (part->empty() || !is_hex) return std::nullopt;
  }
  const char* end = process.data() + process.size();
  const auto [at, error] = std::from_chars(process.data(), end, tag.process);
  if (at != end || error != std::errc() || tag.process <= 0) return std::nullopt;
  const bool is_host = !text.empty() && std::ranges::all_of(text, is_in_host);
  if (!is_host) return std::nullopt;
  tag.host = text;
  return tag;
}

enum class Fate { dead, alive, unknown };

Fate fate_of(std::string_view text) {
  static const std::string own_space = space();
  const std::optional<Tag> tag = parse(text);
  if (!tag || tag->space != own_space || tag->host != host()) return Fate::unknown;
  const bool may_signal = ::kill(tag->process, 0) == 0;
  if (!may_signal && errno == ESRCH) return Fate::dead;
  const std::optional<std::string> start = start_of(tag->process);
  if (!start) return may_signal ? Fate::dead : Fate::unknown;  // a zombie; or one of another user
  return *start == tag->start ? Fate::alive : Fate::dead;
}

}  // namespace

const std::string& own_tag() {
  static const std::string tag =
      fmt::format("{}-{}-{}-{}", host(), ::getpid(), start_of(::getpid()).value_or("0"), space());
  return tag;
}

bool is_tag(std::string_view text) { return parse(text).has_value(); }

bool is_dead(std::string_view text) { return fate_of(text) == Fate::dead; }
bool is_alive(std::string_view text) { return text != own_tag() && fate_of(text) == Fate::alive; }

std::string describe_owner(std::string_view text) {
  const std::optional<Tag> tag = parse(text);
  return tag ? fmt::format("process {} on {}", tag->process, tag->host) : "another process";
}

}  // namespace d2c
