/* Sending and receiving on unix sockets, with descriptors in the messages (SCM_RIGHTS). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

/* The kernel's SCM_MAX_FD: it takes no more in one message. */
enum { MOST_DESCRIPTORS = 253 };

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

static napi_value receive_with(napi_env env, napi_callback_info info, int flags) {
  napi_value arguments[2];
  int fd;
  struct bytes into;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &into) || !require_room(env, into))
    return NULL;
  ssize_t count;
  do
    count = recv(fd, into.data, into.length, MSG_DONTWAIT | MSG_TRUNC | flags);
  while (count < 0 && errno == EINTR);
  return transferred(env, "recv", count);
}

static napi_value receive(napi_env env, napi_callback_info info) {
  return receive_with(env, info, 0);
}

static napi_value peek(napi_env env, napi_callback_info info) {
  return receive_with(env, info, MSG_PEEK);
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

static napi_value receive_message(napi_env env, napi_callback_info info, int flags) {
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
    count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC | flags);
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

static napi_value receive_with_descriptors(napi_env env, napi_callback_info info) {
  return receive_message(env, info, 0);
}

/* The kernel hands out copies of the descriptors, and keeps the message. */
static napi_value peek_with_descriptors(napi_env env, napi_callback_info info) {
  return receive_message(env, info, MSG_PEEK);
}

bool export_messages(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"send", js_send},
      {"receive", receive},
      {"peek", peek},
      {"receiveWithDescriptors", receive_with_descriptors},
      {"peekWithDescriptors", peek_with_descriptors},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
