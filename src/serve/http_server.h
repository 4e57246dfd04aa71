// HTTP/1.1 over plain TCP: connections, limits and time-outs; knows nothing of what is asked. One
// thread serves all connections and never waits for any of them, so that slow or hostile ones do
// not keep others waiting.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // as sent, without the query
  std::string body;
  std::string content_type, authorization;  // "" if not sent
};

struct HttpReply {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// The answer to one request: either send(), or begin(), write()... and end(). Thread-safe. Calls
/// for a client that has left do nothing.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  /// `note` is for the record of the exchange.
  virtual void send(HttpReply reply, std::string note = {}) = 0;
  /// Head and first part of an answer that is sent in parts.
  virtual void begin(HttpReply reply) = 0;
  virtual void write(std::string part) = 0;
  virtual void end(std::string note = {}) = 0;
  /// `gone` is called in the server's thread if the client leaves, or takes nothing for too long,
  /// before its answer is complete; at once if it has left already.
  virtual void on_gone(std::function<void()> gone) = 0;
};

/// One exchange, for logs and metrics.
struct HttpRecord {
  std::string method, path;  // "" where no request could be read
  int status = 0;            // 499: the client left before its answer was complete
  double seconds = 0;        // from the whole request to the last byte of the answer
  std::string note;
};

struct HttpOptions {
  std::string host = "127.0.0.1";  // name or address
  int port = 8080;                 // 0: any free one
  int64_t max_body_bytes = 1 << 20;
  int64_t max_connections = 512;  // more are closed as they come
  double read_seconds = 30;       // for a whole request, and between two of a connection
  double write_seconds = 30;      // for a client to take what is sent
};

class HttpServer {
 public:
  /// Called in the server's thread; must not wait.
  using Handler = std::function<void(HttpRequest, std::shared_ptr<HttpExchange>)>;
  /// The answer where a request could not be read.
  using ErrorReply = std::function<HttpReply(int status, const std::string& message)>;
  using Observer = std::function<void(const HttpRecord&)>;
  struct Callbacks {
    Handler handle;
    ErrorReply error;
    Observer observe;                          // each exchange once it is over
    std::function<void(int64_t)> connections;  // how many are open, when that changes
  };

  /// Listens, and serves from start() on. Throws Error(kRuntime) if the address cannot be had.
  HttpServer(const HttpOptions& options, Callbacks callbacks);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "127.0.0.1:8080", "[::1]:8080"
  std::string address() const;
  void start();
  /// Idle connections are closed, others after their answer.
  void drain();
  /// Exchanges whose answer is not complete.
  int64_t active() const;
  /// Closes everything. Nothing is called after it.
  void stop();

 private:
  class Core;
  class Session;
  class Exchange;
  std::unique_ptr<Core> core_;
};

}  // namespace switchyard
