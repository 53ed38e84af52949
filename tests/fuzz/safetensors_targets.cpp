// Tensors and adapters.
#include <cstdint>

#include "d2c/core/input_file.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/lora/config.hpp"
#include "d2c/safetensors/sharded_reader.hpp"

#include "input.hpp"
#include "test_support.hpp"

namespace d2c::fuzz {
namespace {

using d2c::test::golden;
using d2c::test::source;

constexpr std::size_t data_bytes = 512;

/// A safetensors file of this header whose data are zeros.
std::string with_data(std::string_view header) {
  std::string file;
  for (int byte = 0; byte < 8; ++byte) {
    file += static_cast<char>((static_cast<std::uint64_t>(header.size()) >> (8 * byte)) & 0xFF);
  }
  return file.append(header).append(data_bytes, '\0');
}

void read_all(const safetensors::Reader& reader) {
  for (const auto& [name, info] : reader.tensors()) {
    if (info.shape.size() == 2) static_cast<void>(reader.matrix(name));
    if (info.shape.size() == 1) static_cast<void>(reader.vector(name));
  }
}

std::vector<std::string> headers() {
  return {R"({"a":{"dtype":"F32","shape":[8,8],"data_offsets":[0,256]},)"
          R"("b":{"dtype":"BF16","shape":[128],"data_offsets":[256,512]}})",
          R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F16","shape":[4,64],)"
          R"("data_offsets":[0,512]},"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}})"};
}

std::vector<std::string> files() {
  std::vector<std::string> all{
      read_text(source("data/demo/adapters/echo_bogduh/adapter_model.safetensors"))};
  for (const std::string& header : headers()) all.push_back(with_data(header));
  return all;
}

std::vector<std::string> indices() {
  return {
      R"({"metadata":{"total_size":1024},"weight_map":{"a":"1.safetensors","b":"1.safetensors",)"
      R"("x":"2.safetensors","empty":"2.safetensors"}})"};
}

void read_index(const Input& input) {
  static const auto shards = [] {
    const auto written = headers();
    return std::vector{with_data(written[0]), with_data(written[1])};
  }();
  write(input.file("model.safetensors.index.json").parent_path() / "1.safetensors", shards[0]);
  const auto folder = input.file("model.safetensors.index.json").parent_path();
  write(folder / "2.safetensors", shards[1]);
  static_cast<void>(safetensors::ShardedReader(folder));
}

std::vector<std::string> adapter_configs() {
  return {read_text(source("data/demo/adapters/echo_bogduh/adapter_config.json")),
          read_text(golden("llama-mha/adapters/all-r4-patterns/adapter_config.json")),
          read_text(golden("llama-mha/adapters/all-r8-rslora/adapter_config.json")),
          R"({"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":"all-linear",)"
          R"("layers_to_transform":[0,1],"layers_pattern":"layers"})",
          R"({"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":".*\\.(q|v)_proj",)"
          R"("exclude_modules":["up_proj"],"rank_pattern":{"^model.*v_proj$":8}})"};
}

void read_adapter_config(const Input& input) {
  const auto config = lora::parse_adapter_config(input.text(), "adapter_config.json");
  const lora::ModuleRules rules(config);
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj",
                             "lm_head", "model.embed_tokens"}) {
    static_cast<void>(rules.selects(module));
    static_cast<void>(rules.rank(module));
    static_cast<void>(rules.scaling(module));
  }
}

std::vector<std::string> adapters() {
  return {read_text(golden("llama-mha/adapters/all-r4-a/adapter_model.safetensors"))};
}

void read_adapter(const Input& input) {
  static const std::string config =
      read_text(golden("llama-mha/adapters/all-r4-a/adapter_config.json"));
  static_cast<void>(lora::fingerprint(
      lora::read_adapter(lora::AdapterFiles{"adapter", config, input.bytes()}).modules));
}

}  // namespace

std::vector<Target> safetensors_targets() {
  return {
      {"safetensors", false,
       [](const Input& input) { read_all(safetensors::Reader("x.safetensors", input.bytes())); },
       files},
      {"safetensors_header", true,
       [](const Input& input) {
         const std::string file = with_data(input.text());
         read_all(safetensors::Reader("x.safetensors", Input(file).bytes()));
       },
       headers},
      {"safetensors_file", false,
       [](const Input& input) { read_all(safetensors::Reader(input.file("x.safetensors"))); },
       files},
      {"safetensors_index", true, read_index, indices},
      {"adapter_config", true, read_adapter_config, adapter_configs},
      {"adapter", false, read_adapter, adapters}};
}

}  // namespace d2c::fuzz
