#include "serve/engine_loop.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#include "infer/engine/inference_model.h"

namespace switchyard {
namespace {

class EngineLoopTest : public ::testing::Test {
 protected:
  EngineLoopTest() : plain_(config(), Precision::kFloat32) {
    plain_.parameters().initialize(11);
    model_.emplace(weights_of(plain_));
  }

  static ModelConfig config() {
    ModelConfig config;
    config.d_model = 16;
    config.d_ff = 16;
    config.d_kv = 8;
    config.num_heads = 2;
    config.num_encoder_layers = 2;
    config.num_decoder_layers = 2;
    config.vocab_size = 40;
    config.moe.num_experts = 2;
    return config;
  }

  /// A job of `rows` outputs of `tokens` ids; EOS cannot come before.
  Job job(int64_t tokens, int rows = 1) {
    Job made;
    for (int i = 0; i < rows; ++i) {
      BatchRequest row;
      row.input = {5, 6, static_cast<int32_t>(7 + i)};
      // A target is as long as it says, whatever the model likes.
      row.target.assign(static_cast<size_t>(tokens), 9);
      row.on_done = [this](const Generation& generation) { done_.push_back(generation.length()); };
      made.rows.push_back(std::move(row));
    }
    made.on_failure = [this](JobFailure failure) { failures_.push_back(failure); };
    return made;
  }

  EngineLoop::Admission submit(EngineLoop& loop, Job made) {
    return loop.submit(std::move(made), number_);
  }

  EncoderDecoder plain_;
  std::optional<InferenceModel> model_;
  Metrics metrics_;
  std::vector<int64_t> done_;
  std::vector<JobFailure> failures_;
  uint64_t number_ = 0;
};

using Admission = EngineLoop::Admission;

TEST_F(EngineLoopTest, FinishesWhatItTookBeforeItEnds) {
  EngineLoop loop(*model_, {.rows = 2, .waiting = 8}, metrics_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(submit(loop, job(4 + i, 2)), Admission::kAccepted);
  loop.end();
  EXPECT_EQ(submit(loop, job(4)), Admission::kEnding);
  loop.run([] {});
  EXPECT_EQ(done_, (std::vector<int64_t>{4, 4, 5, 5, 6, 6}));
  EXPECT_TRUE(failures_.empty());
  EXPECT_NE(metrics_.text().find("switchyard_output_tokens_total 30\n"), std::string::npos);
}

TEST_F(EngineLoopTest, TakesAsManyAsMayWait) {
  EngineLoop loop(*model_, {.rows = 2, .waiting = 3}, metrics_);
  EXPECT_EQ(submit(loop, job(3, 6)), Admission::kFull);
  EXPECT_EQ(submit(loop, job(3, 4)), Admission::kAccepted);
  EXPECT_EQ(submit(loop, job(3, 2)), Admission::kFull);
  EXPECT_EQ(submit(loop, job(3, 1)), Admission::kAccepted);
  EXPECT_EQ(submit(loop, job(3, 1)), Admission::kFull);
  // Places come free as outputs are done.
  int calls = 0;
  loop.run([&] {
    if (++calls == 10) {
      EXPECT_EQ(done_.size(), 5u);
      EXPECT_EQ(submit(loop, job(3, 5)), Admission::kAccepted);
      loop.end();
    }
  });
  EXPECT_EQ(done_.size(), 10u);
}

TEST_F(EngineLoopTest, CancelledJobsCallNothingAndFreeTheirPlaces) {
  EngineLoop loop(*model_, {.rows = 1, .waiting = 2}, metrics_);
  submit(loop, job(1000));
  const uint64_t running = number_;
  submit(loop, job(1000));
  const uint64_t waiting = number_;
  submit(loop, job(2));
  int calls = 0;
  loop.run([&] {
    if (++calls != 4) return;
    loop.cancel(running);
    loop.cancel(waiting);
    loop.cancel(12345);
    loop.end();
  });
  EXPECT_EQ(done_, (std::vector<int64_t>{2}));
  EXPECT_TRUE(failures_.empty());
  EXPECT_NE(metrics_.text().find("switchyard_running 0\n"), std::string::npos);
  EXPECT_NE(metrics_.text().find("{reason=\"disconnected\"} 2\n"), std::string::npos);
}

TEST_F(EngineLoopTest, LateJobsFail) {
  EngineLoop loop(*model_, {.rows = 1, .waiting = 2, .job_seconds = 0.05}, metrics_);
  submit(loop, job(1 << 22));
  loop.end();
  loop.run([] {});
  EXPECT_EQ(failures_, (std::vector<JobFailure>{JobFailure::kTimeout}));
  EXPECT_TRUE(done_.empty());
}

TEST_F(EngineLoopTest, JobsCanBeEndedAllAtOnce) {
  EngineLoop loop(*model_, {.rows = 1, .waiting = 2}, metrics_);
  for (int i = 0; i < 3; ++i) submit(loop, job(1 << 22));
  loop.end();
  int calls = 0;
  loop.run([&] {
    if (++calls == 3) loop.fail_all(JobFailure::kStopped);
  });
  EXPECT_EQ(failures_, std::vector<JobFailure>(3, JobFailure::kStopped));
}

TEST_F(EngineLoopTest, DamagedWeightsFailTheJobsAndTheLoopGoesOn) {
  plain_.parameters().find("shared.weight")->value().detach()[5][3] = NAN;
  plain_.parameters().refresh_compute();
  EngineLoop loop(*model_, {.rows = 1, .waiting = 2}, metrics_);
  submit(loop, job(3));
  submit(loop, job(3));
  int calls = 0;
  loop.run([&] {
    if (++calls == 2) {
      EXPECT_EQ(failures_, std::vector<JobFailure>(2, JobFailure::kModel));
      EXPECT_EQ(submit(loop, job(3)), Admission::kAccepted);
      loop.end();
    }
  });
  EXPECT_EQ(failures_.size(), 3u);
}

TEST_F(EngineLoopTest, TakesJobsFromOtherThreads) {
  EngineLoop loop(*model_, {.rows = 4, .waiting = 100}, metrics_);
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      for (int k = 0; k < 10; ++k) {
        uint64_t number = 0;
        EXPECT_EQ(loop.submit(job(3), number), Admission::kAccepted);
        if (k % 5 == 4) loop.cancel(number + 1000);
      }
    });
  }
  std::thread end([&] {
    for (std::thread& client : clients) client.join();
    loop.end();
  });
  loop.run([] {});
  end.join();
  EXPECT_EQ(done_.size(), 40u);
}

}  // namespace
}  // namespace switchyard
