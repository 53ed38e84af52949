#include "d2c/safetensors/sharded_reader.hpp"

#include <set>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"

namespace d2c::safetensors {
namespace {

namespace fs = std::filesystem;

/// The map tensor -> shard of an index file.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const json::Json content = json::read_file(index);
  const auto found = content.is_object() ? content.find("weight_map") : content.end();
  if (found == content.end() || !found->is_object()) {
    throw InputError({index, "weight_map"}, {"is not an object", "it maps each tensor to its shard",
                                             "download the index again"});
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, shard] : found->items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : std::string();
    if (name.empty() || fs::path(name).filename() != name) {
      throw InputError({index, tensor}, {fmt::format("shard {} is not a file name", shard.dump()),
                                         "shards lie beside the index", "repair the index"});
    }
    weight_map.emplace(tensor, name);
  }
  return weight_map;
}

}  // namespace

ShardedReader::ShardedReader(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (is_present(single)) {  // the order in which transformers looks for weights
    directory_file_ = single;
    add(Reader(single));
  } else if (is_present(index)) {
    directory_file_ = index;
    open_shards(index);
  } else {
    throw InputError({folder, {}},
                     {"holds neither model.safetensors nor model.safetensors.index.json",
                      "the weights of the base model are read from there",
                      "check the path; convert weights of another form with save_pretrained"});
  }
}

void ShardedReader::open_shards(const fs::path& index) {
  const auto weight_map = read_weight_map(index);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  for (const std::string& shard : shards) add(Reader(index.parent_path() / shard));

  for (const auto& [tensor, shard] : weight_map) {
    const auto found = owner_.find(tensor);
    if (found == owner_.end() || readers_[found->second].file().filename() != shard) {
      throw InputError({index, tensor},
                       {fmt::format("the tensor is not in {}", shard), "the index says it is there",
                        "download index and shards again, from one revision"});
    }
  }
  for (const auto& [tensor, position] : owner_) {
    if (!weight_map.contains(tensor)) {
      throw InputError(
          {readers_[position].file(), tensor},
          {"the tensor is not in the index", "index and shards must name the same tensors",
           "download index and shards again, from one revision"});
    }
  }
}

void ShardedReader::add(Reader reader) {
  for (const auto& [name, info] : reader.tensors()) {
    const auto [place, is_new] = owner_.emplace(name, readers_.size());
    if (!is_new) {
      throw InputError({reader.file(), name},
                       {fmt::format("the tensor is also in {}",
                                    readers_[place->second].file().filename().string()),
                        "its value is ambiguous", "download the shards again, from one revision"});
    }
    tensors_.emplace(name, info);
  }
  readers_.push_back(std::move(reader));
}

const fs::path& ShardedReader::file_of(const std::string& name) const {
  const auto found = owner_.find(name);
  return found == owner_.end() ? directory_file_ : readers_[found->second].file();
}

const Reader& ShardedReader::reader_of(const std::string& name) const {
  const auto found = owner_.find(name);
  if (found == owner_.end()) {
    throw InputError({directory_file_, name}, {"the tensor is not in the model", "it is needed",
                                               "check that config.json belongs to these weights"});
  }
  return readers_[found->second];
}

const TensorInfo& ShardedReader::info(const std::string& name) const {
  return reader_of(name).info(name);
}
std::span<const std::byte> ShardedReader::bytes(const std::string& name) const {
  return reader_of(name).bytes(name);
}
std::vector<float> ShardedReader::vector(const std::string& name) const {
  return reader_of(name).vector(name);
}
void ShardedReader::read_rows(const std::string& name, Index first, Index count,
                              std::span<float> target) const {
  reader_of(name).read_rows(name, first, count, target);
}

}  // namespace d2c::safetensors
