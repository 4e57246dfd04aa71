#include "tests/integration/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/format.h"

namespace switchyard::testing {
namespace {

constexpr int kPatienceMs = 60'000;
constexpr int kSendPatienceMs = 5'000;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return text;
}

}  // namespace

Connection::Connection(int port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
  if (receive_buffer > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) close();
}

Connection::~Connection() { close(); }

void Connection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Connection::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Connection::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

bool Connection::send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, kSendPatienceMs) <= 0) return false;
    const ssize_t count =
        ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

bool Connection::read_more() {
  pollfd ready{fd_, POLLIN, 0};
  if (fd_ < 0 || ::poll(&ready, 1, kPatienceMs) <= 0) return false;
  char bytes[16384];
  const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  unread_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string Connection::take(size_t count) {
  while (unread_.size() < count && read_more()) {
  }
  const std::string taken = unread_.substr(0, count);
  unread_.erase(0, count);
  return taken;
}

std::string Connection::read_until(const std::string& mark) {
  size_t found;
  while ((found = unread_.find(mark)) == std::string::npos) {
    if (!read_more()) return take(unread_.size());
  }
  return take(found + mark.size());
}

bool Connection::ends() {
  for (unread_.clear();; unread_.clear()) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) return false;
    if (!read_more()) return true;
  }
}

HttpAnswer Connection::answer() {
  HttpAnswer answer;
  const std::string head = read_until("\r\n\r\n");
  if (!head.ends_with("\r\n\r\n") || !head.starts_with("HTTP/1.")) return answer;
  for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
    const size_t colon = head.find(": ", at), end = head.find("\r\n", at);
    answer.headers[lower(head.substr(at, colon - at))] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  const int status = std::atoi(head.c_str() + 9);
  if (answer.headers.contains("transfer-encoding")) {
    while (true) {
      const std::string line = read_until("\r\n");
      if (!line.ends_with("\r\n")) return answer;
      const size_t size = std::strtoul(line.c_str(), nullptr, 16);
      const std::string chunk = take(size + 2);
      if (chunk.size() < size + 2) return answer;
      if (size == 0) break;
      answer.body += chunk.substr(0, size);
    }
  } else if (answer.headers.contains("content-length")) {
    const size_t size = std::strtoul(answer.headers["content-length"].c_str(), nullptr, 10);
    answer.body = take(size);
    if (answer.body.size() < size) return answer;
  } else {
    while (read_more()) {
    }
    answer.body = take(unread_.size());
  }
  answer.status = status;
  return answer;
}

std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body, const std::string& more_headers) {
  std::string request =
      format("{} {} HTTP/1.1\r\nHost: localhost\r\n{}", method, path, more_headers);
  if (!body.empty()) {
    request += format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  return request + "\r\n" + body;
}

}  // namespace switchyard::testing
