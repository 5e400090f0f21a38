{
  "targets": [
    {
      "target_name": "sys",
      "sources": [
        "addon.c",
        "arguments.c",
        "clock.c",
        "descriptors.c",
        "errors.c",
        "messages.c",
        "processes.c",
        "readiness.c",
        "records.c",
        "results.c",
        "sockets.c",
        "terminal.c"
      ],
      "defines": ["_GNU_SOURCE", "NAPI_VERSION=8"],
      "cflags": ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
