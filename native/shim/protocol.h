/*
 * The messages between the shim and conmond, version 1.
 *
 * docs/protocol.md is the specification; src/shim/messages.ts is the other
 * side. One message is one packet of a SOCK_SEQPACKET unix socket: 32-bit
 * fields in host byte order (both ends run on the same machine), the message
 * type first, then, for some, text up to the end of the packet.
 */
#ifndef CONMON_PROTOCOL_H
#define CONMON_PROTOCOL_H

#include <stdint.h>

#define PROTOCOL_VERSION 1u
#define MESSAGE_MAX 8192u /* bytes in one packet */
#define SLOTS_MAX 96u     /* descriptors kept at a time; SCM_RIGHTS carries 253 */
#define KEEP_MAX 16u      /* descriptors in one MSG_KEEP, the most in any message to the shim */
#define REPORTS_MAX 32u   /* messages to the caller that can be told apart */

enum message_type {
	/* shim to conmond */
	MSG_HELLO = 1,
	MSG_SPAWNED = 2,
	MSG_FAILED = 3,
	MSG_EXITED = 4,
	MSG_SIGNAL = 5,
	MSG_INHERITED_CLOSED = 6,
	MSG_REPORTED = 7,
	/* conmond to shim */
	MSG_TELL = 16,
	MSG_RELEASE = 17,
	MSG_SPAWN = 18,
	MSG_WATCH = 19,
	MSG_KILL = 20,
	MSG_KEEP = 21,
	MSG_DROP = 22,
	MSG_CLOSE_INHERITED = 23,
	MSG_EXIT = 24,
	MSG_REFUSE = 25,
	MSG_REPORT = 26,
};

/* The processes that messages speak of. */
enum role {
	ROLE_NONE = 0,
	ROLE_RUNTIME = 1,
	ROLE_CONTAINER = 2,
	ROLE_EXIT_COMMAND = 3,
	ROLE_COUNT = 4,
	ROLE_CONTAINER_GROUP = 4, /* only in MSG_KILL: the container's process group */
};

enum process_state {
	PROCESS_NONE = 0,
	PROCESS_RUNNING = 1,
	PROCESS_EXITED = 2,  /* status is a wait status */
	PROCESS_VANISHED = 3 /* it was nobody's child here: gone, status unknown */
};

enum hello_flag {
	HELLO_SYNC = 1,             /* --sync: the shim is the process that the caller started */
	HELLO_RELEASED = 2,         /* the caller has been let go, stdio is /dev/null */
	HELLO_INHERITED_CLOSED = 4, /* the caller's descriptors have been closed */
	HELLO_RESUMED = 8           /* another conmond has answered for this session before */
};

enum release_flag {
	RELEASE_KEEP_STDIO = 1 /* until the runtime has been forked: log driver passthrough */
};

enum spawn_flag {
	SPAWN_PIPE_STDIN = 1,
	SPAWN_PIPE_STDOUT = 2,
	SPAWN_PIPE_STDERR = 4,
	SPAWN_INHERIT_STDIO = 8,      /* the caller's own stdin, stdout and stderr */
	SPAWN_REPLACE_LISTEN_PID = 16 /* LISTEN_PID becomes the child's pid whatever it was */
};

/* Slots that the shim itself fills; from SLOT_FREE on they are conmond's. */
enum slot {
	SLOT_SYNC_PIPE = 1,
	SLOT_START_PIPE = 2,
	SLOT_ATTACH_PIPE = 3,
	SLOT_STDIN = 4,
	SLOT_STDOUT = 5,
	SLOT_STDERR = 6,
	SLOT_FREE = 16
};

struct process_report {
	uint32_t state;
	int32_t pid;
	int32_t status;
};

struct msg_hello {
	uint32_t type, version, flags;
	int32_t shim_pid, caller_pid;
	struct process_report runtime, container, exit_command;
	int32_t unheeded_signal;
	uint32_t slot_count;
	uint32_t slots[SLOTS_MAX];
};

struct msg_spawned { uint32_t type, role; int32_t pid; uint32_t slot_count; uint32_t slots[3]; };
struct msg_failed { uint32_t type, request; int32_t error; }; /* and text: what failed */
struct msg_exited { uint32_t type, role, state; int32_t pid, status; };
struct msg_signal { uint32_t type; int32_t signal; uint32_t forwarded_to; };
struct msg_reported { uint32_t type, report; int32_t error; };
struct msg_plain { uint32_t type; };

struct msg_tell { uint32_t type, stream; }; /* and text */
struct msg_release { uint32_t type, flags; };
struct msg_spawn { uint32_t type, role, flags; };
struct msg_watch { uint32_t type; int32_t pid; };
struct msg_kill { uint32_t type, target; int32_t signal; };
struct msg_keep { uint32_t type, slots[KEEP_MAX]; }; /* as many slots as descriptors */
struct msg_slot { uint32_t type, slot; };
struct msg_exit { uint32_t type; int32_t status; };
struct msg_report { uint32_t type, slot, report; }; /* and what to write */

#endif
