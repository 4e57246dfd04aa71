// HTTP as bytes, so that tests can also send what no client would.
#pragma once

#include <map>
#include <string>

namespace switchyard::testing {

struct HttpAnswer {
  int status = 0;                              // 0: the connection ended before a whole answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // of chunks, put together
};

/// A TCP connection to a port of this machine. Reading gives up after 60 seconds.
class Connection {
 public:
  /// `receive_buffer`: bytes that the system keeps for it; 0: as it likes.
  explicit Connection(int port, int receive_buffer = 0);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool connected() const { return fd_ >= 0; }
  /// False if the server has closed.
  bool send(const std::string& bytes);
  void shutdown_write();
  void close();
  /// Ends the connection by a reset.
  void reset();
  /// The next answer.
  HttpAnswer answer();
  /// Reads until `mark` has come; all bytes up to its end, or less if the connection ends.
  std::string read_until(const std::string& mark);
  /// Whether the server closes within 60 seconds; what it still sends is thrown away.
  bool ends();

 private:
  bool read_more();
  std::string take(size_t count);

  int fd_ = -1;
  std::string unread_;
};

std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body = {}, const std::string& more_headers = {});

}  // namespace switchyard::testing
