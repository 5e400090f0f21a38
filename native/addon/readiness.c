/*
 * Readiness: tells JavaScript when a descriptor can be read or written, by libuv's loop.
 *
 * Who owns what: the memory belongs to the uv handle and is freed when that has closed. Until
 * close() the object points to it; after that it points to nothing. The callback is held from the
 * constructor to close(). At the end of the environment (of a worker, of the process) what is
 * still open is closed in the same way.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <uv.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"

static_assert(UV_READABLE == 1 && UV_WRITABLE == 2 && UV_DISCONNECT == 4 && UV_PRIORITIZED == 8,
              "the constants in src/sys/readiness.ts are libuv's");

enum { ALL_EVENTS = UV_READABLE | UV_WRITABLE | UV_DISCONNECT | UV_PRIORITIZED };

struct readiness {
  uv_poll_t poll;
  napi_env env;
  napi_ref on_ready;
  napi_async_cleanup_hook_handle at_exit;
  int fd;
  int watched;
};

static void on_closed(uv_handle_t *handle) {
  struct readiness *readiness = handle->data;
  napi_delete_reference(readiness->env, readiness->on_ready);
  napi_remove_async_cleanup_hook(readiness->at_exit);
  free(readiness);
}

static void begin_close(struct readiness *readiness) {
  uv_handle_t *handle = (uv_handle_t *)&readiness->poll;
  if (!uv_is_closing(handle))
    uv_close(handle, on_closed);
}

static void on_environment_exit(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  begin_close(data);
}

/*
 * Calls JavaScript from the loop: ticks and microtasks run afterwards, exceptions are uncaught. All
 * other failures mean that a worker is being terminated and no JavaScript runs any more.
 */
static void call_on_ready(struct readiness *readiness, int events) {
  napi_env env = readiness->env;
  napi_handle_scope scope;
  napi_value on_ready, global, argument, thrown;
  if (napi_open_handle_scope(env, &scope) != napi_ok)
    return;
  if (napi_get_reference_value(env, readiness->on_ready, &on_ready) == napi_ok &&
      napi_get_global(env, &global) == napi_ok &&
      napi_create_int32(env, events, &argument) == napi_ok &&
      napi_make_callback(env, NULL, global, on_ready, 1, &argument, NULL) ==
          napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &thrown) == napi_ok)
    napi_fatal_exception(env, thrown);
  napi_close_handle_scope(env, scope);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct readiness *readiness = poll->data;
  if (status < 0) {
    /*
     * libuv has stopped watching: go on, as with any other event that lasts. The next call on the
     * descriptor shows what is wrong with it.
     */
    events = UV_READABLE | UV_WRITABLE | (readiness->watched & UV_DISCONNECT);
    if (uv_poll_start(poll, readiness->watched, on_poll) != 0)
      readiness->watched = 0;
  }
  call_on_ready(readiness, events);
}

/* The object's readiness, or NULL once it is closed. */
static struct readiness *readiness_of(napi_env env, napi_value object) {
  void *readiness;
  return napi_unwrap(env, object, &readiness) == napi_ok ? readiness : NULL;
}

static bool read_constructor_arguments(napi_env env, napi_callback_info info, napi_value *object,
                                       int *fd, napi_value *on_ready) {
  napi_value target, arguments[2];
  size_t count = 2;
  napi_valuetype type;
  if (napi_get_new_target(env, info, &target) != napi_ok ||
      napi_get_cb_info(env, info, &count, arguments, object, NULL) != napi_ok)
    return false;
  if (!target) {
    napi_throw_type_error(env, NULL, "Readiness is a class: it needs new");
    return false;
  }
  if (!read_descriptor(env, arguments[0], fd))
    return false;
  *on_ready = arguments[1];
  if (napi_typeof(env, *on_ready, &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "onReady must be a function");
    return false;
  }
  return true;
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value object, on_ready;
  int fd;
  uv_loop_t *loop;
  if (!read_constructor_arguments(env, info, &object, &fd, &on_ready) ||
      napi_get_uv_event_loop(env, &loop) != napi_ok)
    return NULL;
  struct readiness *readiness = calloc(1, sizeof *readiness);
  if (!readiness)
    return throw_system_error(env, "malloc", ENOMEM, NULL);
  int status = uv_poll_init(loop, &readiness->poll, fd);
  if (status != 0) {
    free(readiness);
    return throw_system_error(env, "uv_poll_init", -status, NULL);
  }
  readiness->poll.data = readiness;
  readiness->env = env;
  readiness->fd = fd;
  if (napi_create_reference(env, on_ready, 1, &readiness->on_ready) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_exit, readiness, &readiness->at_exit) !=
          napi_ok ||
      napi_wrap(env, object, readiness, NULL, NULL, NULL) != napi_ok) {
    begin_close(readiness);
    return throw_system_error(env, "uv_poll_init", ENOMEM, NULL);
  }
  return object;
}

static napi_value watch(napi_env env, napi_callback_info info) {
  napi_value object, argument;
  size_t count = 1;
  int64_t events;
  if (napi_get_cb_info(env, info, &count, &argument, &object, NULL) != napi_ok ||
      !read_integer(env, argument, "events", 0, ALL_EVENTS, &events))
    return NULL;
  struct readiness *readiness = readiness_of(env, object);
  if (!readiness) {
    napi_throw_error(env, "ERR_CLOSED", "this Readiness is closed");
    return NULL;
  }
  if (events == readiness->watched)
    return NULL;
  /* The loop would abort the process over a descriptor that was closed behind its back. */
  if (events != 0 && fcntl(readiness->fd, F_GETFD) < 0)
    return throw_system_error(env, "uv_poll_start", errno, NULL);
  int status = uv_poll_start(&readiness->poll, (int)events, on_poll);
  if (status != 0)
    return throw_system_error(env, "uv_poll_start", -status, NULL);
  readiness->watched = (int)events;
  return NULL;
}

static struct readiness *receiver(napi_env env, napi_callback_info info) {
  napi_value object;
  size_t count = 0;
  if (napi_get_cb_info(env, info, &count, NULL, &object, NULL) != napi_ok)
    return NULL;
  return readiness_of(env, object);
}

static napi_value close_readiness(napi_env env, napi_callback_info info) {
  napi_value object;
  size_t count = 0;
  void *readiness;
  if (napi_get_cb_info(env, info, &count, NULL, &object, NULL) == napi_ok &&
      napi_remove_wrap(env, object, &readiness) == napi_ok)
    begin_close(readiness);
  return NULL;
}

static napi_value ref(napi_env env, napi_callback_info info) {
  struct readiness *readiness = receiver(env, info);
  if (readiness)
    uv_ref((uv_handle_t *)&readiness->poll);
  return NULL;
}

static napi_value unref(napi_env env, napi_callback_info info) {
  struct readiness *readiness = receiver(env, info);
  if (readiness)
    uv_unref((uv_handle_t *)&readiness->poll);
  return NULL;
}

bool export_readiness(napi_env env, napi_value exports) {
  static const napi_property_descriptor methods[] = {
      {.utf8name = "watch", .method = watch, .attributes = napi_default_method},
      {.utf8name = "close", .method = close_readiness, .attributes = napi_default_method},
      {.utf8name = "ref", .method = ref, .attributes = napi_default_method},
      {.utf8name = "unref", .method = unref, .attributes = napi_default_method},
  };
  napi_value class;
  return napi_define_class(env, "Readiness", NAPI_AUTO_LENGTH, construct, NULL,
                           sizeof methods / sizeof *methods, methods, &class) == napi_ok &&
         napi_set_named_property(env, exports, "Readiness", class) == napi_ok;
}
