/*
 * host-init: what a process of the `host` runtime is until it becomes the user's program. Node.js
 * cannot execute another program in its own place, and would be 40 MB waiting for `start`.
 *
 *     host-init FIRST
 *
 * The descriptors from FIRST on are ours: the order (a memory file), the socket to the runtime that
 * started us, and, with ORDER_GATED, the listening socket on which `start` will connect. Those below
 * are the program's. Everything is decided by the runtime (src/host-runtime/order.ts); this sets up
 * the process as told, says `ready`, waits for the word, and executes. Each failure is one packet of
 * four texts with NULs between them: what was tried, errno, its text, what it was tried on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ORDER_GATED = 1,      /* wait for `start` */
	ORDER_TERMINAL = 2,   /* stdin becomes the controlling terminal */
	ORDER_USER = 4,       /* set group and user */
	ORDER_GROUPS = 8,     /* set the additional groups */
	ORDER_LISTEN_PID = 16, /* LISTEN_PID in the environment becomes our pid */
	ORDER_OOM_SCORE = 32, /* oom_score_adj is given */
	ORDER_NO_NEW_PRIVILEGES = 64,
};

enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/* The order's beginning; limits, groups and strings follow. The layout is order.ts's. */
struct order {
	uint32_t flags, umask, uid, gid;
	int32_t oom_score;
	uint32_t limit_count, group_count, argument_count, variable_count, padding;
};

struct limit {
	uint64_t resource, soft, hard;
};

struct launch {
	struct order order;
	const struct limit *limits;
	const gid_t *groups;
	char *directory;
	char **arguments;
	char **variables;
};

/* Where failures are told: the runtime that started us, later the one that says `start`. */
static int listener_of_failures = -1;

/* Whoever listens may have gone, which changes nothing for us. */
static void tell(const char *step, int error, const char *on)
{
	char packet[8192];
	int length = snprintf(packet, sizeof packet, "%s%c%d%c%s%c%s", step, 0, error, 0, error ? strerror(error) : "",
			      0, on);

	if (length >= (int)sizeof packet)
		length = sizeof packet - 1;
	if (listener_of_failures >= 0)
		send(listener_of_failures, packet, (size_t)length, MSG_NOSIGNAL);
}

static void fail(const char *step, int error, const char *on, int status)
{
	tell(step, error, on);
	_exit(status);
}

static void bad_order(void)
{
	fail("order", EINVAL, "", STATUS_FAILED);
}

static void *memory(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		fail("order", errno, "", STATUS_FAILED);
	return start;
}

/* A part of the order that has to be there; moves on behind it. */
static void *take(char **at, const char *end, size_t count, size_t size)
{
	char *part = *at;

	if (count > (size_t)(end - part) / size)
		bad_order();
	*at = part + count * size;
	return part;
}

/* The order's last byte is NUL, so that no string runs out of it. */
static char *take_string(char **at, const char *end)
{
	char *string = *at;

	if (string >= end)
		bad_order();
	*at = string + strlen(string) + 1;
	return string;
}

static char **take_strings(char **at, const char *end, size_t count)
{
	if (count > (size_t)(end - *at))
		bad_order();
	char **strings = memory((count + 1) * sizeof *strings);
	for (size_t i = 0; i < count; i++)
		strings[i] = take_string(at, end);
	return strings;
}

static struct launch read_order(int file)
{
	struct launch launch;
	struct stat status;

	if (fstat(file, &status) < 0 || status.st_size <= (off_t)sizeof launch.order)
		bad_order();
	size_t size = (size_t)status.st_size;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (at == MAP_FAILED || at[size - 1] != '\0')
		bad_order();
	const char *end = at + size;
	memcpy(&launch.order, take(&at, end, 1, sizeof launch.order), sizeof launch.order);
	launch.limits = take(&at, end, launch.order.limit_count, sizeof *launch.limits);
	launch.groups = take(&at, end, launch.order.group_count, sizeof *launch.groups);
	launch.directory = take_string(&at, end);
	launch.arguments = take_strings(&at, end, launch.order.argument_count);
	launch.variables = take_strings(&at, end, launch.order.variable_count);
	if (launch.order.argument_count == 0)
		bad_order();
	return launch;
}

static void set_oom_score(int32_t score)
{
	/* Best effort: lowering it takes a privilege that not everyone has. */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	dprintf(fd, "%d", score);
	close(fd);
}

/* What we are not allowed to raise is set as high as we are. 0 or an errno. */
static int set_limit(int resource, struct rlimit limit)
{
	struct rlimit present;

	if (setrlimit(resource, &limit) == 0)
		return 0;
	if (errno != EPERM || getrlimit(resource, &present) < 0)
		return errno;
	if (limit.rlim_max > present.rlim_max)
		limit.rlim_max = present.rlim_max;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) == 0 ? 0 : errno;
}

static void set_limits(const struct limit *limits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rlimit limit = { .rlim_cur = limits[i].soft, .rlim_max = limits[i].hard };
		int error = set_limit((int)limits[i].resource, limit);
		char name[24];

		snprintf(name, sizeof name, "%llu", (unsigned long long)limits[i].resource);
		if (error)
			fail("setrlimit", error, name, STATUS_FAILED);
	}
}

static void become(const struct launch *launch)
{
	const struct order *order = &launch->order;

	if (order->flags & ORDER_GROUPS && setgroups(order->group_count, launch->groups) < 0)
		fail("setgroups", errno, "", STATUS_FAILED);
	if (!(order->flags & ORDER_USER))
		return;
	if (setresgid(order->gid, order->gid, order->gid) < 0)
		fail("setgid", errno, "", STATUS_FAILED);
	if (setresuid(order->uid, order->uid, order->uid) < 0)
		fail("setuid", errno, "", STATUS_FAILED);
}

static const char *variable(char *const *variables, const char *name)
{
	size_t length = strlen(name);

	for (; *variables; variables++)
		if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
			return *variables + length + 1;
	return NULL;
}

/* sd_listen_fds(3) wants LISTEN_PID to be the reader's pid. The runtime has left room for it. */
static void set_listen_pid(char *const *variables)
{
	char *value = (char *)variable(variables, "LISTEN_PID");

	if (value)
		snprintf(value, strlen(value) + 1, "%d", (int)getpid());
}

/* 0, or the errno that says why this cannot be executed. */
static int check_executable(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return errno;
	if (S_ISDIR(status.st_mode) || access(path, X_OK) < 0)
		return EACCES;
	return 0;
}

/* The first one in the directories of the program's own $PATH. NULL: there is none. */
static char *search(const char *name, const char *directories)
{
	char *path = memory(strlen(directories) + strlen(name) + 3);

	while (*directories) {
		size_t length = strcspn(directories, ":");

		/* An empty entry is the current directory. */
		sprintf(path, "%.*s/%s", length ? (int)length : 1, length ? directories : ".", name);
		if (check_executable(path) == 0)
			return path;
		directories += length + (directories[length] == ':');
	}
	return NULL;
}

static const char *find_program(const struct launch *launch)
{
	const char *name = launch->arguments[0];
	const char *directories = variable(launch->variables, "PATH");

	if (strchr(name, '/')) {
		int error = check_executable(name);

		if (error)
			fail("find", error, name, error == EACCES ? STATUS_NOT_EXECUTABLE : STATUS_NOT_FOUND);
		return name;
	}
	char *path = *name ? search(name, directories ? directories : "") : NULL;
	if (!path)
		fail("find", ENOENT, name, STATUS_NOT_FOUND);
	return path;
}

/* Waits until the other side says that it has done its part; false: it has gone without a word. */
static bool get_the_word(int connection)
{
	char word;
	ssize_t count;

	tell("ready", 0, "");
	do
		count = recv(connection, &word, 1, 0);
	while (count < 0 && errno == EINTR);
	return count == 1;
}

/* One `start` after the other, until one of them lives long enough to say the word. */
static void wait_for_start(int gate)
{
	for (;;) {
		int connection = accept4(gate, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (connection < 0)
			_exit(STATUS_FAILED);
		listener_of_failures = connection;
		if (get_the_word(connection))
			return;
		close(connection);
	}
}

static void keep_from_program(int first, int count)
{
	for (int fd = first; fd < first + count; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Before Linux 5.9 there is no such call: then only what the runtime has marked is closed. */
	syscall(SYS_close_range, (unsigned)(first + count), ~0u, 0);
}

int main(int argc, char **argv)
{
	int first = argc == 2 ? atoi(argv[1]) : 0;

	if (first <= STDERR_FILENO) {
		fputs("host-init: this is a part of conmon-host-runtime, not to be run by hand\n", stderr);
		return STATUS_FAILED;
	}
	int file = first, runtime = first + 1, gate = first + 2;
	listener_of_failures = runtime;
	struct launch launch = read_order(file);
	const struct order *order = &launch.order;

	keep_from_program(first, order->flags & ORDER_GATED ? 3 : 2);
	if (order->flags & ORDER_TERMINAL && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		fail("terminal", errno, "", STATUS_FAILED);
	if (order->flags & ORDER_OOM_SCORE)
		set_oom_score(order->oom_score);
	set_limits(launch.limits, order->limit_count);
	become(&launch);
	if (order->flags & ORDER_NO_NEW_PRIVILEGES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail("no_new_privs", errno, "", STATUS_FAILED);
	umask(order->umask);
	/* As the user, who may not be allowed to go where root is. */
	if (chdir(launch.directory) < 0)
		fail("chdir", errno, launch.directory, STATUS_FAILED);
	if (order->flags & ORDER_LISTEN_PID)
		set_listen_pid(launch.variables);
	const char *program = find_program(&launch);

	/* If the runtime dies before it has written down who we are, nobody would ever find us. */
	if (!get_the_word(runtime))
		return STATUS_FAILED;
	if (order->flags & ORDER_GATED) {
		close(runtime);
		wait_for_start(gate);
	}
	execve(program, launch.arguments, launch.variables);
	fail("exec", errno, program, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}
