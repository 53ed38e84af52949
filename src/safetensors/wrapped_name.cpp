#include "d2c/safetensors/wrapped_name.hpp"

#include <array>

namespace d2c::safetensors {
namespace {

struct Wrapper {
  std::string_view part;
  const char* name;
};
constexpr std::array wrappers = std::to_array<Wrapper>({
    {"_orig_mod.", "torch.compile"},
    {"_fsdp_wrapped_module.", "FullyShardedDataParallel"},
    {"_checkpoint_wrapped_module.", "activation checkpointing"},
    {"module.", "DistributedDataParallel"},
    {"language_model.", "a vision-language model"},
});

}  // namespace

std::optional<WrappedName> find_wrapper(std::string_view tensor) {
  for (const auto& [part, name] : wrappers) {
    std::string bare(tensor);
    for (std::size_t at = bare.find(part); at != std::string::npos; at = bare.find(part, at)) {
      // A component of the name by itself, not the end of a longer one.
      if (at == 0 || bare[at - 1] == '.') {
        bare.erase(at, part.size());
      } else {
        ++at;
      }
    }
    if (bare.size() != tensor.size()) return WrappedName{bare, std::string(part), name};
  }
  return std::nullopt;
}

}  // namespace d2c::safetensors
