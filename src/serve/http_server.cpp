// Boost.Beast reads requests; everything else here is a connection's life: read a request within a
// time, hand it over, watch whether the client stays, send what comes, go on or close.
#include "serve/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"

namespace switchyard {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using net::ip::tcp;

constexpr uint32_t kMaxHeaderBytes = 16 << 10;
constexpr int kSendBufferBytes = 256 << 10;  // the system's, which else grows to megabytes
constexpr size_t kMaxUnsentBytes = 8 << 20;  // of an answer that the client does not take
// Of what is read and not yet taken as part of a request. Beast limits neither extensions of chunks
// nor trailers, and throws for a trailer of 64 KiB.
constexpr size_t kMaxBufferBytes = 60 << 10;
constexpr size_t kReadBytes = 4 << 10, kDrainBytes = 16 << 10;
constexpr size_t kMaxReadAheadBytes = 32 << 10;  // of requests sent before the answer
constexpr size_t kMaxDrainedBytes = 4 << 20;     // read and thrown away before closing
constexpr double kLingerSeconds = 2;
constexpr int kClientLeft = 499;  // as nginx logs it

std::chrono::steady_clock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

/// As many open files as the process may have: each connection is one.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

tcp::endpoint resolve(net::io_context& io, const HttpOptions& options) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port),
                       tcp::resolver::numeric_service | tcp::resolver::passive, error);
  if (error || found.empty()) {
    throw usage_error(format("the host '{}' is not known", options.host), "--host",
                      "give a name or address of this machine, e.g. 127.0.0.1");
  }
  return found.begin()->endpoint();
}

}  // namespace

class HttpServer::Core {
 public:
  Core(const HttpOptions& options, Callbacks callbacks)
      : options_(options), callbacks_(std::move(callbacks)), acceptor_(io_), retry_(io_) {
    raise_file_limit();
    const tcp::endpoint endpoint = resolve(io_, options_);
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(net::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(net::socket_base::max_listen_connections, error);
    if (error) {
      throw runtime_failure("cannot listen: " + error.message(),
                            format("{}:{}", options_.host, options_.port),
                            "is another server running? choose another --port, or 0 for any");
    }
  }

  std::string address() const {
    const tcp::endpoint local = acceptor_.local_endpoint();
    const std::string host = local.address().to_string();
    return local.address().is_v6() ? format("[{}]:{}", host, local.port())
                                   : format("{}:{}", host, local.port());
  }

  void start() {
    accept();
    thread_ = std::thread([this] { serve_all(); });
  }

  void stop();
  void drain();

  int64_t active() const { return active_; }

 private:
  friend class HttpServer::Session;

  /// A connection that memory is too short for must not end all others.
  void serve_all() {
    for (bool ended = false; !ended;) {
      try {
        io_.run();
        ended = true;
      } catch (const std::exception& error) {
        log_line(LogLevel::kError, format("a connection failed: {}", error.what()));
      }
    }
  }

  void accept();
  void add_session(Session* session) {
    sessions_.insert(session);
    callbacks_.connections(static_cast<int64_t>(sessions_.size()));
  }
  void remove_session(Session* session) {
    sessions_.erase(session);
    if (!stopping_) callbacks_.connections(static_cast<int64_t>(sessions_.size()));
  }

  const HttpOptions options_;
  const Callbacks callbacks_;
  std::atomic<int64_t> active_ = 0;
  // Of the server's thread. Sessions end with io_, which therefore goes first.
  std::unordered_set<Session*> sessions_;
  bool draining_ = false, stopping_ = false;
  net::io_context io_{1};
  tcp::acceptor acceptor_;
  net::steady_timer retry_;
  std::thread thread_;
};

/// One connection. All of it runs in the server's thread.
class HttpServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Core& core, tcp::socket socket) : core_(core), stream_(std::move(socket)) {
    core_.add_session(this);
  }
  ~Session() { core_.remove_session(this); }

  void start() {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    stream_.socket().set_option(net::socket_base::send_buffer_size(kSendBufferBytes), ignored);
    read_request();
  }

  /// Between two requests. One that has just been opened still gets the answer to its first.
  void close_if_idle() {
    if (state_ == State::kIdle && number_ > 0) close();
  }
  void abandon() {
    if (state_ == State::kAnswering) leave();
    close();
  }

  /// Runs `change` if exchange `number` is still the one being answered.
  void in_exchange(uint64_t number, const std::function<void()>& change) {
    if (number == number_ && state_ == State::kAnswering && !complete_) change();
  }

  net::io_context& io() { return core_.io_; }

  void send(HttpReply reply, std::string note) {
    reply.headers.emplace_back("Content-Length", std::to_string(reply.body.size()));
    queue(head(reply));
    if (!head_only_) queue(std::move(reply.body));
    complete(std::move(note));
  }

  void begin(HttpReply reply) {
    if (!chunks_) keep_alive_ = false;  // the end of the connection ends the answer
    if (chunks_) reply.headers.emplace_back("Transfer-Encoding", "chunked");
    queue(head(reply));
    write(std::move(reply.body));
  }

  void write(std::string part) {
    if (part.empty() || head_only_) return;
    if (unsent_ > kMaxUnsentBytes) {  // before this part, so that no part alone is too much
      leave();
      close();
      return;
    }
    if (chunks_) part = format("{:x}\r\n", part.size()) + part + "\r\n";
    queue(std::move(part));
  }

  void end(std::string note) {
    if (chunks_ && !head_only_) queue("0\r\n\r\n");
    complete(std::move(note));
  }

  void set_gone(uint64_t number, std::function<void()> gone) {
    if (number == number_ && state_ == State::kAnswering) {
      gone_ = std::move(gone);
    } else if (number == number_ && left_) {
      gone();
    }
  }

 private:
  enum class State { kIdle, kReading, kAnswering, kClosing };
  using Parser = http::request_parser<http::string_body>;

  void read_request() {
    state_ = State::kIdle;
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(static_cast<uint64_t>(core_.options_.max_body_bytes));
    stream_.expires_after(duration_of(core_.options_.read_seconds));
    if (buffer_.size() > 0) {
      read_header();
      return;
    }
    // Idle until the first byte: such a connection may be closed when the server ends.
    stream_.async_read_some(
        buffer_.prepare(kReadBytes), [self = shared_from_this()](error_code error, size_t bytes) {
          self->buffer_.commit(bytes);
          if (error) return self->close();
          self->stream_.expires_after(duration_of(self->core_.options_.read_seconds));
          self->read_header();
        });
  }

  void read_header() {
    state_ = State::kReading;
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](error_code error, size_t) {
                              if (error) return self->refuse(error);
                              self->read_body();
                            });
  }

  void read_body() {
    const auto& request = parser_->get();
    if (beast::iequals(request[http::field::expect], "100-continue") && !parser_->is_done()) {
      static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
      net::async_write(stream_, net::buffer(kGoOn),
                       [self = shared_from_this()](error_code error, size_t) {
                         if (error) return self->close();
                         self->read_rest();
                       });
      return;
    }
    read_rest();
  }

  void read_rest() {
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (error) return self->refuse(error);
                       self->hand_over();
                     });
  }

  /// Answers what is no request, as far as there is somebody to answer.
  void refuse(error_code error) {
    const bool malformed = error.category() == make_error_code(http::error::bad_method).category();
    if (!malformed || error == http::error::end_of_stream ||
        error == http::error::partial_message) {
      return close();
    }
    begin_exchange();
    keep_alive_ = false;
    method_ = path_ = "";
    if (error == http::error::body_limit) {
      send(core_.callbacks_.error(
               413, format("the body is longer than {} bytes", core_.options_.max_body_bytes)),
           "");
    } else if (error == http::error::header_limit) {
      send(core_.callbacks_.error(431, "the request's head is too long"), "");
    } else {
      send(core_.callbacks_.error(400, "not an HTTP request: " + error.message()), "");
    }
  }

  void begin_exchange() {
    state_ = State::kAnswering;
    ++number_;
    ++core_.active_;
    start_ = Clock::now();
    status_ = 0;
    complete_ = left_ = head_only_ = false;
    gone_ = nullptr;
    stream_.expires_never();
  }

  void hand_over();

  /// Notices a client that leaves while its answer is being made. One that closes only its own
  /// direction counts as gone, too: nothing tells the two apart.
  void watch() {
    stream_.socket().async_wait(
        tcp::socket::wait_read, [self = shared_from_this(), number = number_](error_code error) {
          if (error || number != self->number_ || self->state_ != State::kAnswering) return;
          if (self->client_is_there()) return;
          self->leave();
          self->close();
        });
  }

  /// Reads ahead what the client sends before its answer; false once it has closed.
  bool client_is_there() {
    if (buffer_.size() >= kMaxReadAheadBytes) return true;
    error_code error;
    stream_.socket().non_blocking(true, error);
    const size_t bytes = stream_.socket().read_some(buffer_.prepare(kReadBytes), error);
    buffer_.commit(bytes);
    if (error && error != net::error::would_block) return false;
    watch();
    return true;
  }

  std::string head(const HttpReply& reply) {
    status_ = reply.status;
    keep_alive_ = keep_alive_ && !core_.draining_;
    std::string text = format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", reply.status,
                              std::string(http::obsolete_reason(
                                  http::int_to_status(static_cast<unsigned>(reply.status)))),
                              reply.type);
    for (const auto& [name, value] : reply.headers) text += format("{}: {}\r\n", name, value);
    text += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
    return text;
  }

  void queue(std::string bytes) {
    unsent_ += bytes.size();
    unsent_parts_ += bytes;
    flush();
  }

  void flush() {
    if (writing_ || unsent_parts_.empty()) return;
    writing_ = true;
    sending_ = std::move(unsent_parts_);
    unsent_parts_.clear();
    stream_.expires_after(duration_of(core_.options_.write_seconds));
    net::async_write(
        stream_, net::buffer(sending_),
        [self = shared_from_this()](error_code error, size_t) { self->after_write(error); });
  }

  void after_write(error_code error) {
    writing_ = false;
    if (state_ != State::kAnswering) return;
    if (error) {
      leave();
      return close();
    }
    unsent_ -= sending_.size();
    stream_.expires_never();
    if (!unsent_parts_.empty()) return flush();
    if (complete_) finish_exchange();
  }

  void complete(std::string note) {
    complete_ = true;
    note_ = std::move(note);
    if (!writing_) finish_exchange();
  }

  void record(int status) {
    --core_.active_;
    core_.callbacks_.observe({method_, path_, status, seconds_since(start_), note_});
    note_.clear();
    gone_ = nullptr;
  }

  void finish_exchange() {
    record(status_);
    if (keep_alive_ && !core_.draining_) {
      read_request();
    } else {
      linger();
    }
  }

  /// The client has left before its answer was complete.
  void leave() {
    state_ = State::kClosing;
    left_ = true;
    if (gone_) std::exchange(gone_, nullptr)();
    record(kClientLeft);
  }

  /// Closes, but reads a while what the client still sends: closing over unread bytes would take
  /// the answer away from it.
  void linger() {
    state_ = State::kClosing;
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    buffer_.clear();
    drained_ = 0;
    stream_.expires_after(duration_of(kLingerSeconds));
    drain();
  }

  void drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kDrainBytes),
                            [self = shared_from_this()](error_code error, size_t bytes) {
                              self->drained_ += bytes;
                              if (error || self->drained_ > kMaxDrainedBytes) return self->close();
                              self->drain();
                            });
  }

  void close() {
    state_ = State::kClosing;
    error_code ignored;
    stream_.socket().close(ignored);
  }

  Core& core_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{kMaxBufferBytes};
  std::optional<Parser> parser_;
  State state_ = State::kIdle;
  bool keep_alive_ = false, chunks_ = false, head_only_ = false;
  // The exchange under way.
  uint64_t number_ = 0;
  std::string method_, path_, note_;
  Clock::time_point start_;
  int status_ = 0;
  bool complete_ = false, left_ = false;
  std::function<void()> gone_;
  // Bytes on their way.
  std::string unsent_parts_, sending_;
  size_t unsent_ = 0, drained_ = 0;
  bool writing_ = false;
};

/// What a handler gets of one exchange of a session: each call goes to the server's thread.
class HttpServer::Exchange : public HttpExchange {
 public:
  Exchange(std::shared_ptr<Session> session, uint64_t number)
      : session_(std::move(session)), number_(number) {}
  /// A session ends in its own thread.
  ~Exchange() override {
    Session& session = *session_;
    net::post(session.io(), [own = std::move(session_)] {});
  }

  void send(HttpReply reply, std::string note) override {
    post([reply = std::move(reply), note = std::move(note)](Session& session) mutable {
      session.send(std::move(reply), std::move(note));
    });
  }
  void begin(HttpReply reply) override {
    post([reply = std::move(reply)](Session& session) mutable { session.begin(std::move(reply)); });
  }
  void write(std::string part) override {
    post([part = std::move(part)](Session& session) mutable { session.write(std::move(part)); });
  }
  void end(std::string note) override {
    post([note = std::move(note)](Session& session) mutable { session.end(std::move(note)); });
  }
  void on_gone(std::function<void()> gone) override {
    net::post(session_->io(), [session = session_, number = number_, gone = std::move(gone)] {
      session->set_gone(number, gone);
    });
  }

 private:
  template <class Change>
  void post(Change change) {
    net::post(session_->io(),
              [session = session_, number = number_, change = std::move(change)]() mutable {
                session->in_exchange(number, [&] { change(*session); });
              });
  }

  std::shared_ptr<Session> session_;
  uint64_t number_;
};

void HttpServer::Session::hand_over() {
  auto message = parser_->release();
  begin_exchange();
  keep_alive_ = message.keep_alive();
  chunks_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = std::string(message.target().substr(0, message.target().find('?')));
  request.content_type = std::string(message[http::field::content_type]);
  request.authorization = std::string(message[http::field::authorization]);
  request.body = std::move(message.body());
  method_ = request.method;
  path_ = request.path;
  watch();
  core_.callbacks_.handle(std::move(request),
                          std::make_shared<Exchange>(shared_from_this(), number_));
}

void HttpServer::Core::accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) {  // no file descriptor left, most likely
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](error_code cancelled) {
        if (!cancelled) accept();
      });
      return;
    }
    if (static_cast<int64_t>(sessions_.size()) < options_.max_connections) {
      std::make_shared<Session>(*this, std::move(socket))->start();
    }
    accept();
  });
}

void HttpServer::Core::drain() {
  net::post(io_, [this] {
    draining_ = true;
    const std::vector<Session*> open(sessions_.begin(), sessions_.end());
    for (Session* session : open) session->close_if_idle();
  });
}

void HttpServer::Core::stop() {
  if (!thread_.joinable()) return;
  net::post(io_, [this] {
    stopping_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    const std::vector<Session*> open(sessions_.begin(), sessions_.end());
    for (Session* session : open) session->abandon();
    io_.stop();
  });
  thread_.join();
}

HttpServer::HttpServer(const HttpOptions& options, Callbacks callbacks)
    : core_(std::make_unique<Core>(options, std::move(callbacks))) {}

HttpServer::~HttpServer() { stop(); }

std::string HttpServer::address() const { return core_->address(); }
void HttpServer::start() { core_->start(); }
void HttpServer::drain() { core_->drain(); }
int64_t HttpServer::active() const { return core_->active(); }
void HttpServer::stop() { core_->stop(); }

}  // namespace switchyard
