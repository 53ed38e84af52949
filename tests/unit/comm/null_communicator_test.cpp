#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::comm {
namespace {

TEST(NullCommunicator, ActsAsTheOnlyRank) {
  const auto comm = make_null_communicator();
  EXPECT_EQ(comm->rank(), 0);
  EXPECT_EQ(comm->size(), 1);
  std::vector<double> values{1, 2};
  comm->sum(values);
  EXPECT_EQ(values, (std::vector<double>{1, 2}));
  EXPECT_EQ(broadcast_text(*comm, "text", 0), "text");
  const std::vector<int> numbers{3, 4};
  EXPECT_EQ(all_gather_values<int>(*comm, numbers), (std::vector<std::vector<int>>{{3, 4}}));
}

TEST(NullCommunicator, FailsFirstOnce) {
  const auto comm = make_null_communicator();
  EXPECT_TRUE(comm->is_first_to_fail());
  EXPECT_FALSE(comm->is_first_to_fail());
}

TEST(NullCommunicator, ExchangesWithItself) {
  const auto comm = make_null_communicator();
  const std::vector<Parcel> out{{0, std::vector<std::byte>(5, std::byte{7})}};
  std::vector<Parcel> in{{0, std::vector<std::byte>(5)}};
  comm->exchange(out, in);
  EXPECT_EQ(in[0].bytes, out[0].bytes);
}

TEST(Agree, PassesTheErrorOn) {
  const auto comm = make_null_communicator();
  EXPECT_NO_THROW(agree(*comm, [] {}));
  try {
    agree(*comm, [] { throw InputError({"f", {}}, {"is wrong", "", ""}); });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_STREQ(error.what(), "f: is wrong");
  }
  EXPECT_THROW(agree(*comm, [] { throw std::runtime_error("x"); }), Error);
}

}  // namespace
}  // namespace d2c::comm
