/* The parts of the addon, and the one thing they share: how functions get into its exports. */
#ifndef SYS_ADDON_H
#define SYS_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>

struct function {
  const char *name;
  napi_callback call;
};

/* Adds the functions to the addon's exports. False: N-API refused, with an exception pending. */
bool export_functions(napi_env env, napi_value exports, const struct function *functions,
                      size_t count);

bool export_sockets(napi_env env, napi_value exports);
bool export_messages(napi_env env, napi_value exports);
bool export_descriptors(napi_env env, napi_value exports);
bool export_terminal(napi_env env, napi_value exports);
bool export_clock(napi_env env, napi_value exports);
bool export_readiness(napi_env env, napi_value exports);
bool export_processes(napi_env env, napi_value exports);
bool export_records(napi_env env, napi_value exports);

#endif
