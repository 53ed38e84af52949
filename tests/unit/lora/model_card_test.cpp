#include "d2c/lora/model_card.hpp"

#include <gtest/gtest.h>

namespace d2c::lora {
namespace {

TEST(ModelCard, QuotesABaseModelThatIsNoPlainText) {
  EXPECT_NE(card_front_matter("meta/Llama-3.2").find("\nbase_model: meta/Llama-3.2\n"),
            std::string::npos);
  EXPECT_NE(card_front_matter("true").find("base_model: \"true\"\n"), std::string::npos);
  EXPECT_NE(card_front_matter(".5").find("base_model: \".5\"\n"), std::string::npos);
  EXPECT_NE(card_front_matter("../m").find("base_model: ../m\n"), std::string::npos);
  EXPECT_NE(card_front_matter("a: b # c").find("base_model: \"a: b # c\"\n"), std::string::npos);
  const std::string forged = card_front_matter("x\nlicense: evil\n---\n<script>");
  EXPECT_EQ(forged.find("\nlicense"), std::string::npos);
  EXPECT_EQ(forged.find("\n<script"), std::string::npos);
}

TEST(ModelCard, CellsAreNeitherMarkdownNorHtmlAndStayOnTheirLine) {
  EXPECT_EQ(card_cell("echo_stepor-1.5"), "echo_stepor-1.5");
  EXPECT_EQ(card_cell("<img src=x>&"), "&lt;img src=x&gt;&amp;");
  EXPECT_EQ(card_cell("a|b`c*[x](y)!"), "a\\|b\\`c\\*\\[x\\](y)\\!");
  EXPECT_EQ(card_cell("a\nb").find('\n'), std::string::npos);
  EXPECT_LT(card_cell(std::string(100'000, 'x')).size(), 1000U);
}

TEST(ModelCard, CodeCannotBeEnded) {
  EXPECT_EQ(card_code("a`b"), "`a'b`");
  EXPECT_EQ(card_code("a\n# b"), "`a\\n# b`");
}

}  // namespace
}  // namespace d2c::lora
