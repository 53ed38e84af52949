#include "d2c/merge/module_merge.hpp"

#include <list>
#include <string>
#include <vector>

namespace d2c::merge {
namespace {

/// Keeps all members until the end.
class Collected final : public ModuleMerge {
 public:
  Collected(MergeFunction function, std::string_view module, const Options& options)
      : function_(function), module_(module), options_(options) {}

  void add(const Member& member) override {
    factors_.push_back(*member.factors);
    names_.emplace_back(member.name);
    members_.push_back(member);
    members_.back().factors = &factors_.back();
    members_.back().name = names_.back();
  }
  [[nodiscard]] lora::Factors finish() override { return function_(module_, members_, options_); }

 private:
  MergeFunction function_;
  std::string module_;
  Options options_;
  std::list<lora::Factors> factors_;
  std::list<std::string> names_;
  std::vector<Member> members_;
};

}  // namespace

lora::Factors merge_all(ModuleMerge& merge, std::span<const Member> members) {
  for (const Member& member : members) {
    if (member.factors != nullptr) merge.add(member);
  }
  return merge.finish();
}

bool holds_all_members(const Method& method, const Options& options) {
  return method.stream == nullptr || method.stream("", {}, options) == nullptr;
}

std::unique_ptr<ModuleMerge> start_merge(const Method& method, std::string_view module,
                                         const UnitShape& shape, const Options& options) {
  if (method.stream != nullptr) {
    if (auto stream = method.stream(module, shape, options)) return stream;
  }
  return std::make_unique<Collected>(method.function, module, options);
}

}  // namespace d2c::merge
