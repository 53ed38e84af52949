#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "d2c/core/activity.hpp"

#include "parallel_command.hpp"

namespace {

/// Grows until the limit of the address space is hit.
void use_up_memory() {
  constexpr rlim_t room = rlim_t{4} << 30;
  const rlimit limit{room, room};
  setrlimit(RLIMIT_AS, &limit);
  // Asked for, but not filled: that takes seconds on a busy machine.
  std::vector<std::unique_ptr<char[]>> blocks;
  while (true) blocks.push_back(std::make_unique_for_overwrite<char[]>(std::size_t{1} << 28));
}

}  // namespace

/// failing_rank MODE: rank 1 fails in the way that MODE names, while the others wait for it; or all
/// ranks fail by themselves, rank 0 last.
int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  return d2c::cli::with_mpi([&](d2c::comm::Communicator& comm) {
    comm.barrier();
    if (mode == "everyone") {
      if (comm.is_root()) std::this_thread::sleep_for(std::chrono::seconds(2));
      throw std::runtime_error("all ranks met something odd");
    }
    if (comm.rank() == 1) {
      if (mode == "exception") throw std::runtime_error("a rank met something odd");
      if (mode == "memory") use_up_memory();
      if (mode == "exit") std::_Exit(0);
      if (mode == "abort") std::abort();
      const d2c::Activity activity("failing");
      if (mode == "segv") std::raise(SIGSEGV);
      if (mode == "fpe") std::raise(SIGFPE);
      if (mode == "bus") std::raise(SIGBUS);
    }
    comm.barrier();
    return 0;
  });
}
