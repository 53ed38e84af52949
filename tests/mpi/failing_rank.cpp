#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <sys/resource.h>

#include "parallel_command.hpp"

namespace {

/// Grows until the limit of the address space is hit.
void use_up_memory() {
  constexpr rlim_t kRoom = rlim_t{4} << 30;
  const rlimit limit{kRoom, kRoom};
  setrlimit(RLIMIT_AS, &limit);
  std::vector<std::vector<char>> blocks;
  while (true) blocks.emplace_back(std::size_t{1} << 28);
}

}  // namespace

/// failing_rank MODE: rank 1 fails in the way that MODE names, while the others wait for it.
int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  return d2c::cli::with_mpi([&](d2c::comm::Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 1) {
      if (mode == "exception") throw std::runtime_error("a rank met something odd");
      if (mode == "memory") use_up_memory();
      if (mode == "exit") std::_Exit(0);
      if (mode == "abort") std::abort();
    }
    comm.barrier();
    return 0;
  });
}
