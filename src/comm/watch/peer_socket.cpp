#include "comm/watch/peer_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr uint32_t kLongestBody = 1 << 20;

struct Header {
  uint32_t kind;
  uint32_t length;
};

sockaddr_in ipv4(const std::string& address, uint16_t port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_ANY);
  if (!address.empty()) ::inet_pton(AF_INET, address.c_str(), &place.sin_addr);
  return place;
}

const sockaddr* generic(const sockaddr_in& place) {
  return reinterpret_cast<const sockaddr*>(&place);
}

}  // namespace

PeerSocket::PeerSocket(int descriptor) : descriptor_(descriptor) {
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval limit{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

PeerSocket::~PeerSocket() { ::close(descriptor_); }

bool PeerSocket::send(PeerMessageKind kind, std::string_view body) {
  const Header header{static_cast<uint32_t>(kind), static_cast<uint32_t>(body.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += body;
  const std::lock_guard lock(sending_);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t sent = ::send(descriptor_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    rest.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool PeerSocket::receive(std::vector<PeerMessage>& messages) {
  std::array<char, 4096> block;
  for (;;) {
    const ssize_t got = ::recv(descriptor_, block.data(), block.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (got < 0 && errno != ECONNRESET && errno != EPIPE) {  // a process that ends closes or resets
      reason_ = std::string("its host cannot be reached: ") + std::strerror(errno);
    }
    if (got <= 0) return false;
    unread_.append(block.data(), static_cast<size_t>(got));
    Header header{};
    while (unread_.size() >= sizeof header) {
      std::memcpy(&header, unread_.data(), sizeof header);
      if (header.length > kLongestBody) return false;
      if (unread_.size() < sizeof header + header.length) break;
      messages.push_back({static_cast<PeerMessageKind>(header.kind),
                          unread_.substr(sizeof header, header.length)});
      unread_.erase(0, sizeof header + header.length);
    }
  }
}

PeerListener::PeerListener() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  constexpr int kBacklog = 4096;
  sockaddr_in place = ipv4("", 0);
  socklen_t length = sizeof place;
  if (descriptor_ < 0 || ::bind(descriptor_, generic(place), length) != 0 ||
      ::listen(descriptor_, kBacklog) != 0 ||
      ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&place), &length) != 0) {
    throw system_failure("cannot listen for the other ranks", "watch of rank 0", errno);
  }
  ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
  port_ = ntohs(place.sin_port);
}

PeerListener::~PeerListener() { ::close(descriptor_); }

int PeerListener::accept() const { return ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC); }

std::vector<std::string> own_addresses() {
  std::vector<std::string> addresses;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) == 0) {
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
      if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET ||
          (entry->ifa_flags & IFF_LOOPBACK) != 0 || (entry->ifa_flags & IFF_UP) == 0) {
        continue;
      }
      std::array<char, INET_ADDRSTRLEN> text;
      const auto* place = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      if (::inet_ntop(AF_INET, &place->sin_addr, text.data(), text.size())) {
        addresses.emplace_back(text.data());
      }
    }
    ::freeifaddrs(list);
  }
  addresses.emplace_back("127.0.0.1");
  return addresses;
}

int connect_to(const std::string& address, uint16_t port, double seconds) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  const sockaddr_in place = ipv4(address, port);
  bool connected = ::connect(descriptor, generic(place), sizeof place) == 0;
  if (!connected && errno == EINPROGRESS) {
    pollfd ready{descriptor, POLLOUT, 0};
    int error = 0;
    socklen_t length = sizeof error;
    connected = ::poll(&ready, 1, static_cast<int>(seconds * 1e3)) == 1 &&
                ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
  }
  if (!connected) {
    ::close(descriptor);
    return -1;
  }
  ::fcntl(descriptor, F_SETFL, 0);
  return descriptor;
}

}  // namespace switchyard
