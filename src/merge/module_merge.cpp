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

std::unique_ptr<ModuleMerge> start_merge(const Method& method, std::string_view module,
                                         const UnitShape&, const Options& options) {
  return std::make_unique<Collected>(method.function, module, options);
}

}  // namespace d2c::merge
