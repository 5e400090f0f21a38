/* Unix sockets of all three types, with descriptors in their messages. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

/* The kernel's SCM_MAX_FD: it takes no more in one message. */
enum { MOST_DESCRIPTORS = 253 };

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

static napi_value shutdown_write(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  return throw_unless_zero(env, "shutdown", shutdown(fd, SHUT_WR));
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

/* Room for the control message of the most descriptors, aligned as the kernel wants it. */
union control {
  struct cmsghdr header;
  char room[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
};

/* Puts the array's descriptors into the message. Undefined or empty: nothing to put. */
static bool add_descriptors(napi_env env, napi_value array, struct msghdr *message,
                            union control *control) {
  napi_valuetype type;
  bool is_array;
  uint32_t count;
  if (napi_typeof(env, array, &type) != napi_ok)
    return false;
  if (type == napi_undefined)
    return true;
  if (napi_is_array(env, array, &is_array) != napi_ok || !is_array ||
      napi_get_array_length(env, array, &count) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "descriptors must be an array");
    return false;
  }
  if (count > MOST_DESCRIPTORS) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a message takes at most 253 descriptors");
    return false;
  }
  if (count == 0)
    return true;
  int descriptors[MOST_DESCRIPTORS];
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    if (napi_get_element(env, array, i, &element) != napi_ok ||
        !read_descriptor(env, element, &descriptors[i]))
      return false;
  }
  memset(control, 0, sizeof *control);
  message->msg_control = control;
  message->msg_controllen = CMSG_SPACE(count * sizeof(int));
  control->header.cmsg_level = SOL_SOCKET;
  control->header.cmsg_type = SCM_RIGHTS;
  control->header.cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(&control->header), descriptors, count * sizeof(int));
  return true;
}

static napi_value js_send(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int fd;
  struct bytes data;
  struct msghdr message = {0};
  union control control;
  /* The descriptors first: reading an array can run code that takes the data's memory away. */
  if (!read_arguments(env, info, 5, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !add_descriptors(env, arguments[4], &message, &control) ||
      !read_part(env, arguments[1], arguments[2], arguments[3], &data))
    return NULL;
  struct iovec part = {.iov_base = data.data, .iov_len = data.length};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t count;
  do
    count = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (count < 0 && errno == EINTR);
  return transferred(env, "sendmsg", count);
}

static napi_value receive(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  struct bytes into;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &into) || !require_room(env, into))
    return NULL;
  ssize_t count;
  do
    count = recv(fd, into.data, into.length, MSG_DONTWAIT | MSG_TRUNC);
  while (count < 0 && errno == EINTR);
  return transferred(env, "recv", count);
}

/* Takes the descriptors out of a message; returns how many there were. */
static size_t take_descriptors(struct msghdr *message, int *descriptors) {
  size_t count = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
      continue;
    size_t found = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(descriptors + count, CMSG_DATA(part), found * sizeof(int));
    count += found;
  }
  return count;
}

static napi_value received(napi_env env, ssize_t count, const int *descriptors,
                           size_t descriptor_count, bool truncated) {
  napi_value result, bytes, list, flag;
  if (!(list = descriptor_list(env, descriptors, descriptor_count)))
    return NULL;
  if (napi_create_object(env, &result) == napi_ok &&
      napi_create_int32(env, (int)count, &bytes) == napi_ok &&
      napi_get_boolean(env, truncated, &flag) == napi_ok &&
      napi_set_named_property(env, result, "bytes", bytes) == napi_ok &&
      napi_set_named_property(env, result, "descriptors", list) == napi_ok &&
      napi_set_named_property(env, result, "truncated", flag) == napi_ok)
    return result;
  close_all(descriptors, descriptor_count);
  return NULL;
}

static napi_value receive_with_descriptors(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int fd;
  struct bytes into;
  int64_t most;
  if (!read_arguments(env, info, 3, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &into) || !require_room(env, into) ||
      !read_integer(env, arguments[2], "maxDescriptors", 0, MOST_DESCRIPTORS, &most))
    return NULL;

  union control control;
  struct iovec part = {.iov_base = into.data, .iov_len = into.length};
  struct msghdr message = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = &control,
      /* Not CMSG_SPACE: its padding would let one more descriptor in than was asked for. */
      .msg_controllen = most ? CMSG_LEN((size_t)most * sizeof(int)) : 0,
  };
  ssize_t count;
  do
    count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
  while (count < 0 && errno == EINTR);
  if (count < 0)
    return would_block(errno) ? NULL : throw_system_error(env, "recvmsg", errno, NULL);

  int descriptors[MOST_DESCRIPTORS];
  size_t descriptor_count = take_descriptors(&message, descriptors);
  bool truncated = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
  if (truncated) { /* nobody can use half a message, and what is not handed out cannot leak */
    close_all(descriptors, descriptor_count);
    descriptor_count = 0;
  }
  return received(env, count, descriptors, descriptor_count, truncated);
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
      {"peerCredentials", peer_credentials},
      {"send", js_send},
      {"receive", receive},
      {"receiveWithDescriptors", receive_with_descriptors},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
