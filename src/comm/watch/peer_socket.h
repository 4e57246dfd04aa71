// Small messages over TCP between the watch of rank 0 and those of the others.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

enum class PeerMessageKind : uint32_t { kHello, kBeat, kLeave, kFailure, kQuestion, kAnswer };

struct PeerMessage {
  PeerMessageKind kind = PeerMessageKind::kBeat;
  std::string body;
};

/// A connected socket. send() from any thread, receive() from one. Closed when destroyed.
class PeerSocket {
 public:
  explicit PeerSocket(int descriptor);
  ~PeerSocket();
  PeerSocket(const PeerSocket&) = delete;
  PeerSocket& operator=(const PeerSocket&) = delete;

  int descriptor() const { return descriptor_; }
  /// False if the other side is gone, or takes nothing for a second.
  bool send(PeerMessageKind kind, std::string_view body);
  /// Reads what is there without waiting; appends whole messages. False once the other side is
  /// gone or sends nonsense.
  bool receive(std::vector<PeerMessage>& messages);
  /// Why receive() returned false, in words: "its process ended", or what the network says.
  const std::string& reason() const { return reason_; }

 private:
  int descriptor_;
  std::string reason_ = "its process ended";
  std::mutex sending_;
  std::string unread_;
};

/// A listening socket on a port of the system's choice, all addresses. Throws Error(kRuntime).
class PeerListener {
 public:
  PeerListener();
  ~PeerListener();
  PeerListener(const PeerListener&) = delete;
  PeerListener& operator=(const PeerListener&) = delete;

  int descriptor() const { return descriptor_; }
  uint16_t port() const { return port_; }
  /// Descriptor of the next connection, -1 if there is none.
  int accept() const;

 private:
  int descriptor_;
  uint16_t port_ = 0;
};

/// IPv4 addresses of this host that others may reach; the loopback address last.
std::vector<std::string> own_addresses();
/// Descriptor, or -1 after `seconds`.
int connect_to(const std::string& address, uint16_t port, double seconds);

}  // namespace switchyard
