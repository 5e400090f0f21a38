/* Unix sockets of all three types: making, naming and connecting them. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

static bool read_socket_type(napi_env env, napi_callback_info info, int *type) {
  napi_value argument;
  char name[16];
  size_t length;
  if (!read_arguments(env, info, 1, &argument))
    return false;
  if (read_text(env, argument, "type", sizeof name, name, &length) == TEXT_REFUSED)
    return false;
  if (strcmp(name, "stream") == 0)
    *type = SOCK_STREAM;
  else if (strcmp(name, "seqpacket") == 0)
    *type = SOCK_SEQPACKET;
  else if (strcmp(name, "dgram") == 0)
    *type = SOCK_DGRAM;
  else {
    napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE",
                          "type must be \"stream\", \"seqpacket\" or \"dgram\"");
    return false;
  }
  *type |= SOCK_NONBLOCK | SOCK_CLOEXEC;
  return true;
}

static napi_value unix_socket(napi_env env, napi_callback_info info) {
  int type;
  if (!read_socket_type(env, info, &type))
    return NULL;
  return new_descriptor(env, "socket", socket(AF_UNIX, type, 0));
}

static napi_value unix_socket_pair(napi_env env, napi_callback_info info) {
  int type, ends[2];
  if (!read_socket_type(env, info, &type))
    return NULL;
  if (socketpair(AF_UNIX, type, 0, ends) != 0)
    return throw_system_error(env, "socketpair", errno, NULL);
  return descriptor_list(env, ends, 2);
}

struct address {
  struct sockaddr_un name;
  socklen_t length;
  char path[sizeof((struct sockaddr_un *)NULL)->sun_path + 1];
};

/*
 * A path, or "@" and an abstract name, of at most 107 bytes after the "@". The empty name is
 * refused, since the kernel would pick one of its own.
 */
static bool read_address(napi_env env, napi_value value, const char *syscall,
                         struct address *address) {
  size_t length;
  enum text text = read_text(env, value, "path", sizeof address->path, address->path, &length);
  if (text == TEXT_REFUSED)
    return false;
  bool abstract = address->path[0] == '@';
  size_t named = length - (abstract ? 1 : 0);
  if (text == TEXT_TOO_LONG || named >= sizeof address->name.sun_path) {
    throw_system_error(env, syscall, ENAMETOOLONG, address->path);
    return false;
  }
  if (named == 0) {
    throw_system_error(env, syscall, EINVAL, address->path);
    return false;
  }
  address->name = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(address->name.sun_path, address->path, length);
  if (abstract)
    address->name.sun_path[0] = '\0';
  address->length =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
  return true;
}

static napi_value bind_unix(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  struct address address;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_address(env, arguments[1], "bind", &address))
    return NULL;
  if (bind(fd, (const struct sockaddr *)&address.name, address.length) != 0)
    return throw_system_error(env, "bind", errno, address.path);
  return NULL;
}

static napi_value connect_unix(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  struct address address;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_address(env, arguments[1], "connect", &address))
    return NULL;
  if (connect(fd, (const struct sockaddr *)&address.name, address.length) != 0)
    return throw_system_error(env, "connect", errno, address.path);
  return NULL;
}

static napi_value js_listen(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  int64_t backlog;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_integer(env, arguments[1], "backlog", 0, INT32_MAX, &backlog))
    return NULL;
  return throw_unless_zero(env, "listen", listen(fd, (int)backlog));
}

static napi_value js_accept(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd, accepted;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  do
    accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (accepted < 0 && errno == EINTR);
  if (accepted < 0 && would_block(errno))
    return NULL;
  return new_descriptor(env, "accept4", accepted);
}

static napi_value shut_down(napi_env env, napi_callback_info info, int how) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  return throw_unless_zero(env, "shutdown", shutdown(fd, how));
}

static napi_value shutdown_write(napi_env env, napi_callback_info info) {
  return shut_down(env, info, SHUT_WR);
}

static napi_value shutdown_both(napi_env env, napi_callback_info info) {
  return shut_down(env, info, SHUT_RDWR);
}

static napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value argument, result, pid, uid, gid;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return throw_system_error(env, "SO_PEERCRED", errno, NULL);
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_int32(env, peer.pid, &pid) != napi_ok ||
      napi_create_uint32(env, peer.uid, &uid) != napi_ok ||
      napi_create_uint32(env, peer.gid, &gid) != napi_ok ||
      napi_set_named_property(env, result, "pid", pid) != napi_ok ||
      napi_set_named_property(env, result, "uid", uid) != napi_ok ||
      napi_set_named_property(env, result, "gid", gid) != napi_ok)
    return NULL;
  return result;
}

static napi_value has_hung_up(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  struct pollfd peer = {.fd = fd, .events = POLLRDHUP};
  if (poll(&peer, 1, 0) < 0)
    return throw_system_error(env, "poll", errno, NULL);
  if (peer.revents & POLLNVAL)
    return throw_system_error(env, "poll", EBADF, NULL);
  return napi_get_boolean(env, peer.revents != 0, &result) == napi_ok ? result : NULL;
}

static const char *name_of_type(int type) {
  switch (type) {
  case SOCK_STREAM: return "stream";
  case SOCK_SEQPACKET: return "seqpacket";
  case SOCK_DGRAM: return "dgram";
  default: return "other";
  }
}

static bool read_option(napi_env env, int fd, int option, const char *name, int *value) {
  socklen_t length = sizeof *value;
  if (getsockopt(fd, SOL_SOCKET, option, value, &length) == 0)
    return true;
  throw_system_error(env, name, errno, NULL);
  return false;
}

/* The path that a socket is bound to; "" for one without a path, or that is no unix socket. */
static bool read_path(napi_env env, int fd, napi_value *path) {
  struct sockaddr_un name = {.sun_family = AF_UNSPEC};
  socklen_t length = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &length) != 0) {
    throw_system_error(env, "getsockname", errno, NULL);
    return false;
  }
  size_t begin = offsetof(struct sockaddr_un, sun_path);
  size_t room = length > begin ? length - begin : 0;
  if (room > sizeof name.sun_path)
    room = sizeof name.sun_path;
  size_t used = name.sun_family == AF_UNIX ? strnlen(name.sun_path, room) : 0;
  return napi_create_string_utf8(env, name.sun_path, used, path) == napi_ok;
}

static napi_value describe_socket(napi_env env, napi_callback_info info) {
  napi_value argument, result, type, listening, path;
  int fd, kind, accepts;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd) ||
      !read_option(env, fd, SO_TYPE, "SO_TYPE", &kind) ||
      !read_option(env, fd, SO_ACCEPTCONN, "SO_ACCEPTCONN", &accepts) || !read_path(env, fd, &path))
    return NULL;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_utf8(env, name_of_type(kind), NAPI_AUTO_LENGTH, &type) != napi_ok ||
      napi_get_boolean(env, accepts != 0, &listening) != napi_ok ||
      napi_set_named_property(env, result, "type", type) != napi_ok ||
      napi_set_named_property(env, result, "listening", listening) != napi_ok ||
      napi_set_named_property(env, result, "path", path) != napi_ok)
    return NULL;
  return result;
}

bool export_sockets(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"unixSocket", unix_socket},
      {"unixSocketPair", unix_socket_pair},
      {"bindUnix", bind_unix},
      {"connectUnix", connect_unix},
      {"listen", js_listen},
      {"accept", js_accept},
      {"shutdownWrite", shutdown_write},
      {"shutdownBoth", shutdown_both},
      {"peerCredentials", peer_credentials},
      {"describeSocket", describe_socket},
      {"hasHungUp", has_hung_up},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
