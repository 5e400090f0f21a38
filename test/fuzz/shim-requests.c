/*
 * A libFuzzer target: any packets from a conmond, with any descriptors, through the shim's own code.
 *
 * An input is a byte of settings, then packets: how many descriptors come along, the length in two
 * bytes, the bytes. They go over a real socket, so the kernel has its part. What would act upon
 * other processes is replaced. What must hold after each packet is in check().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shim *current;
static jmp_buf end_of_input;
static int nowhere;
static bool fork_fails;

static void require(bool holds, const char *what);
static long replaced_syscall(long number, ...);

static pid_t replaced_fork(void)
{
	if (!fork_fails)
		return 0x3ffffff; /* above every pid */
	errno = EAGAIN;
	return -1;
}

static int no_child(void)
{
	errno = ECHILD;
	return -1;
}

#define fork() replaced_fork()
#define kill(pid, signal) ((void)(pid), (void)(signal), 0)
#define waitpid(pid, status, options) ((void)(pid), (void)(status), no_child())
#define waitid(kind, pid, info, options) ((void)(pid), (void)(info), no_child())
#define prctl(...) 0
#define syscall(...) replaced_syscall(__VA_ARGS__)

#include "../../native/shim/link.c"
#include "../../native/shim/process.c"
#include "../../native/shim/report.c"
#include "../../native/shim/requests.c"
#include "../../native/shim/slots.c"

void release(struct shim *shim, uint32_t flags)
{
	require(!shim->released || shim->keep_stdio, "nobody is released twice");
	shim->keep_stdio = flags & RELEASE_KEEP_STDIO;
	shim->released = true;
}

void finish(struct shim *shim, int status)
{
	require(status >= 0 && status <= 255, "a status fits into a byte");
	(void)shim;
	longjmp(end_of_input, 1);
}

/* pidfd_open, pidfd_send_signal and close_range. */
static long replaced_syscall(long number, ...)
{
	va_list arguments;

	if (number == SYS_pidfd_open)
		return fcntl(nowhere, F_DUPFD_CLOEXEC, 3);
	if (number == SYS_close_range) {
		va_start(arguments, number);
		unsigned first = va_arg(arguments, unsigned), last = va_arg(arguments, unsigned);
		va_end(arguments);
		for (size_t i = 0; i < SLOTS_MAX; i++) {
			unsigned fd = (unsigned)current->slots[i].fd;
			require(!current->slots[i].id || fd < first || fd > last, "no kept descriptor is closed");
		}
		unsigned link = (unsigned)current->link;
		require(link < first || link > last, "the link is not closed");
	}
	return 0;
}

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}

static int count_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 128; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Between the end of conmond (returned) and the shim. */
static int make_link(struct shim *shim)
{
	int ends[2];

	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "there is a socket");
	shim->link = ends[0];
	shim->link_state = LINK_GREETED;
	return ends[1];
}

static void send_packet(int conmond, const uint8_t *bytes, size_t length, size_t fd_count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec data = { .iov_base = (void *)bytes, .iov_len = length };
	struct msghdr packet = { .msg_iov = &data, .msg_iovlen = 1 };

	if (fd_count > 0) {
		packet.msg_control = control.room;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		for (size_t i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &nowhere, sizeof(int));
	}
	require(sendmsg(conmond, &packet, MSG_NOSIGNAL) == (ssize_t)length, "a packet can be sent");
}

/* What a conmond would read: every answer has its right length. */
static void take_answers(int conmond)
{
	static unsigned char answer[MESSAGE_MAX];
	ssize_t length;

	while ((length = recv(conmond, answer, sizeof answer, 0)) > 0) {
		uint32_t type = 0;
		require((size_t)length >= sizeof type, "an answer has a type");
		memcpy(&type, answer, sizeof type);
		static const size_t sizes[] = {
			[MSG_SPAWNED] = sizeof(struct msg_spawned), [MSG_EXITED] = sizeof(struct msg_exited),
			[MSG_SIGNAL] = sizeof(struct msg_signal),   [MSG_INHERITED_CLOSED] = sizeof(struct msg_plain),
			[MSG_REPORTED] = sizeof(struct msg_reported),
		};
		if (type == MSG_FAILED)
			require((size_t)length > sizeof(struct msg_failed), "a failure says what failed");
		else
			require(type < sizeof sizes / sizeof *sizes && (size_t)length == sizes[type],
				"an answer has its type's length");
	}
}

/* What must hold between any two packets. */
static void check(const struct shim *before, const struct shim *after)
{
	for (size_t i = 0; i < SLOTS_MAX; i++)
		for (size_t k = 0; after->slots[i].id && k < i; k++)
			require(after->slots[i].id != after->slots[k].id, "a slot is there once");
	if (after->link >= 0)
		return;
	/* The link was given up: then nothing of the message has been carried out. */
	require(memcmp(before->slots, after->slots, sizeof after->slots) == 0, "the slots are as they were");
	require(memcmp(before->processes, after->processes, sizeof after->processes) == 0, "no process was touched");
	require(before->released == after->released, "the caller was not released");
	require(before->reported == after->reported, "nothing was reported");
	require(before->inherited_closed == after->inherited_closed, "nothing was closed");
}

static void keep_pipe(struct shim *shim, uint32_t slot, int *reader)
{
	int ends[2];

	require(pipe2(ends, O_CLOEXEC) == 0, "there is a pipe");
	require(slot_keep(shim, slot, ends[1]) == 0, "there is a slot");
	*reader = ends[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static struct shim shim, before;
	static int conmond, readers[2], open_before;
	static const uint8_t *at, *end;
	static char *environment[] = { "LISTEN_PID=1", NULL };

	if (size == 0)
		return 0;
	nowhere = nowhere > 0 ? nowhere : open("/dev/null", O_RDWR | O_CLOEXEC);
	open_before = count_open();
	current = &shim;
	shim = (struct shim){ .environ = environment, .verdict = -1, .signals = -1, .container_pidfd = -1, .link = -1 };
	readers[0] = readers[1] = -1;
	fork_fails = input[0] & 1;
	shim.released = input[0] & 2;
	if (input[0] & 4)
		keep_pipe(&shim, SLOT_SYNC_PIPE, &readers[0]);
	if (input[0] & 8)
		keep_pipe(&shim, SLOT_ATTACH_PIPE, &readers[1]);
	conmond = make_link(&shim);
	at = input + 1;
	end = input + size;
	if (setjmp(end_of_input) == 0)
		while (end - at >= 3) {
			size_t fd_count = at[0] % 8, length = at[1] | (size_t)at[2] << 8;
			at += 3;
			if (length > (size_t)(end - at))
				length = (size_t)(end - at);
			send_packet(conmond, at, length, fd_count);
			at += length;
			before = shim;
			link_receive(&shim);
			check(&before, &shim);
			take_answers(conmond);
			if (shim.link < 0) {
				close(conmond);
				conmond = make_link(&shim);
			}
		}
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (shim.slots[i].id)
			require(close(shim.slots[i].fd) == 0, "a kept descriptor is open");
	const int rest[] = { shim.container_pidfd, shim.link, conmond, readers[0], readers[1] };
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		if (rest[i] >= 0)
			close(rest[i]);
	require(count_open() == open_before, "no descriptor was leaked");
	return 0;
}
