#include "chat/child_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "d2c/core/error.hpp"

namespace d2c::text {
namespace {

void require(int error) {
  if (error == 0) return;
  throw IoError({}, {"a process for chat templates cannot be started"}, system_reason(error));
}

/// What a Python installation may need to be found, and nothing else of our environment.
std::vector<std::string> environment() {
  std::vector<std::string> variables;
  for (const char* name : {"PATH", "HOME", "LD_LIBRARY_PATH", "PYENV_ROOT", "PYENV_VERSION"}) {
    const char* value = std::getenv(name);
    if (value != nullptr) variables.push_back(fmt::format("{}={}", name, value));
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// What the new process does before it becomes the program.
class SpawnPlan {
 public:
  explicit SpawnPlan(int socket) {
    require(posix_spawn_file_actions_init(&actions_));
    require(posix_spawnattr_init(&attributes_));
    require(posix_spawn_file_actions_adddup2(&actions_, socket, STDIN_FILENO));
    require(posix_spawn_file_actions_adddup2(&actions_, socket, STDOUT_FILENO));
    require(posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0));
    require(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    require(posix_spawnattr_setsigmask(&attributes_, &none));
    require(posix_spawnattr_setsigdefault(&attributes_, &all));
    require(posix_spawnattr_setpgroup(&attributes_, 0));
    require(posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  [[nodiscard]] int start(std::vector<std::string> arguments, pid_t& process) const {
    std::vector<std::string> variables = environment();
    return posix_spawnp(&process, arguments.front().c_str(), &actions_, &attributes_,
                        pointers(arguments).data(), pointers(variables).data());
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    require(errno);
  }
  socket_ = ends[0];
  // The program's end blocks, as programs expect of their standard input.
  fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) & ~O_NONBLOCK);
  const int error = SpawnPlan(ends[1]).start(arguments, process_);
  close(ends[1]);
  if (error != 0) process_ = -1;
  if (error == EAGAIN || error == ENOMEM) {
    close(socket_);
    require(error);
  }
}

ChildProcess::~ChildProcess() {
  close(socket_);
  if (process_ < 0) return;
  kill(-process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool ChildProcess::wait_until_ready(short events, Clock::time_point end) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    pollfd entry{socket_, events, 0};
    const int ready =
        poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

ChildProcess::Answer ChildProcess::ask(std::string_view line,
                                       std::chrono::duration<double> patience,
                                       std::size_t longest_answer) {
  if (process_ < 0) return {{}, Failure::ended};
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
  std::string request(line);
  request += '\n';
  for (std::size_t sent = 0; sent < request.size();) {
    if (!wait_until_ready(POLLOUT, end)) return {{}, Failure::too_slow};
    const auto count = send(socket_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return {{}, Failure::ended};
    if (count > 0) sent += static_cast<std::size_t>(count);
  }
  Answer answer;
  std::array<char, 1 << 16> bytes;
  while (!answer.line.ends_with('\n')) {
    if (answer.line.size() > longest_answer) return {{}, Failure::too_long};
    if (!wait_until_ready(POLLIN, end)) return {{}, Failure::too_slow};
    const auto count = recv(socket_, bytes.data(), bytes.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
      return {{}, Failure::ended};
    }
    if (count > 0) answer.line.append(bytes.data(), static_cast<std::size_t>(count));
  }
  answer.line.pop_back();
  return answer;
}

}  // namespace d2c::text
